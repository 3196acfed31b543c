# make                all daemons and commands, optimised and hardened
# make install        into $(DESTDIR)$(PREFIX): sbin/, libexec/postern/, share/
# make demo           a private instance that delivers two messages; demo-stop
# make check          lint, unit, system and crash tests, fuzz corpora
# make MODE=san ...   the same tree under ASan and UBSan; MODE=tsan: TSan
# make lint format    style; make fuzz: run each fuzz target for FUZZ_SECONDS;
#                     fuzz-long: an hour each
# make WITHOUT_DB=1   without Berkeley DB (hash:, btree:), though it is there;
#                     likewise LMDB, PCRE2 (after make clean)
# make deps           install what is missing of Debian's packages (as root)
# make V=1 ...        show the compiler's commands
MODE   ?= release
BUILD  ?= build
OUT    := $(BUILD)/$(MODE)
PREFIX ?= /usr/local
ARCH   := $(shell uname -m)

# Octets of a frame; stacks are four times larger under the sanitizers.
FRAME.release := 4096
FRAME.test    := 4096
FRAME.san     := 16384
FRAME.tsan    := 16384
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wvla \
        -Wmissing-prototypes -Wwrite-strings -Wcast-qual -Wformat=2 -Wundef \
        -Wswitch-enum -Wframe-larger-than=$(FRAME.$(MODE)) -Wno-missing-field-initializers
HARD := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fPIE \
        -fstack-clash-protection $(if $(filter x86_64,$(ARCH)),-fcf-protection=branch)

FLAGS.release := -O2 $(HARD)
FLAGS.san     := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
                 -fno-sanitize-recover=all -DPOSTERN_TEST_HOOKS
FLAGS.tsan    := -O1 -fno-omit-frame-pointer -fsanitize=thread -DPOSTERN_TEST_HOOKS
FLAGS.test    := -O1 $(HARD) -DPOSTERN_TEST_HOOKS

# Libraries that a build may do without: what is found is used.
header = $(shell $(CC) $(CPPFLAGS) $(CFLAGS) -E -include $(1) -x c /dev/null >/dev/null 2>&1 && echo yes)
option = $(if $(WITHOUT_$(1)),,$(call header,$(2)))
have.DB    := $(call option,DB,db.h)
have.LMDB  := $(call option,LMDB,lmdb.h)
have.PCRE2 := $(call option,PCRE2,pcre2.h -DPCRE2_CODE_UNIT_WIDTH=8)
have := $(foreach h,DB LMDB PCRE2,$(if $(have.$(h)),$(h)))
cpp := -I. -D_GNU_SOURCE $(have:%=-DHAVE_%) -MMD -MP
cc  := -std=gnu17 -g $(WARN) $(FLAGS.$(MODE)) $(if $(CI),-Werror) -pthread
ld  := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed

say = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2);)

# Modules of tables, each where its client library is: loaded when used.
module.pgsql.h  := libpq-fe.h
module.mysql.h  := mysql.h
module.sqlite.h := sqlite3.h
module.ldap.h   := ldap.h
module.pgsql.cpp := -I$(firstword $(wildcard $(addsuffix /postgresql,/usr/include /usr/local/include)) /usr/include)
module.mysql.cpp := -I$(firstword $(wildcard $(addprefix /usr/include/,mariadb mysql)) /usr/include)
module.pgsql.ld  := -lpq
module.mysql.ld  := -lmariadb
module.sqlite.ld := -lsqlite3
module.ldap.ld   := -lldap -llber
modules := $(foreach m,pgsql mysql sqlite ldap,$(if $(call option,$(m),$(module.$(m).h) $(module.$(m).cpp)),$(m)))
module.so := $(modules:%=$(OUT)/lib/postern/%.so)

# Which daemon needs which library besides libpostern's.
libs.lib    := $(if $(have.DB),-ldb) $(if $(have.LMDB),-llmdb) $(if $(have.PCRE2),-lpcre2-8)
libs.lookup := -lunbound

daemons := master smtpd qmgr smtp local bounce lookup spawn
commands := $(notdir $(patsubst %/main.c,%,$(wildcard cmd/*/main.c)))

lib.src := $(wildcard lib/*/*.c lib/*/*.S)
lib.obj := $(patsubst %,$(OUT)/%.o,$(basename $(lib.src)))
lib.a   := $(OUT)/libpostern.a

# A daemon or command is an archive of all but main.c, so that tests link it too.
parts.src = $(filter-out $(1)/main.c,$(wildcard $(1)/*.c $(1)/*/*.c))
parts.a   = $(if $(call parts.src,$(1)),$(OUT)/$(1).a)

daemon.bin  := $(foreach d,$(daemons),$(if $(wildcard $(d)/main.c),$(OUT)/libexec/postern/$(d)))
command.bin := $(commands:%=$(OUT)/sbin/%)
all.a       := $(foreach d,$(daemons),$(call parts.a,$(d))) \
               $(foreach c,$(commands),$(call parts.a,cmd/$(c)))

test.src := $(wildcard tests/unit/*_test.c tests/crash/*_test.c)
test.bin := $(test.src:%.c=$(OUT)/%)
help.src := $(filter-out %_test.c,$(wildcard tests/unit/*.c tests/crash/*.c))
help.a   := $(if $(help.src),$(OUT)/tests/helpers.a)
fuzz.src := $(wildcard tests/fuzz/*_fuzz.c)
replay.bin := $(fuzz.src:tests/fuzz/%_fuzz.c=$(OUT)/tests/replay/%)

# Other names of commands: made as links beside them.
links.sendmail := mailq newaliases
links.postmap  := postalias

.PHONY: all install demo demo-stop check check-unit check-system check-crash \
        check-fuzz check-sim check-clients check-tables check-peers check-long fuzz fuzz-long lint format deps clean
.SECONDARY:

all: $(daemon.bin) $(command.bin) $(module.so) $(OUT)/.links docs/postconf.5

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(cpp) $(CPPFLAGS) $(cc) $(CFLAGS) -c -o $@ $<

$(OUT)/%.o: %.S
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(cpp) $(CPPFLAGS) $(cc) $(CFLAGS) -c -o $@ $<

$(lib.a): $(lib.obj)
	@rm -f $@
	$(call say,AR,$@)$(AR) rcs $@ $^

$(OUT)/lib/postern/%.so: lib/table/modules/%.c lib/table/modules/module.h lib/table/driver.h
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) -I. -D_GNU_SOURCE $(module.$*.cpp) $(CPPFLAGS) $(filter-out -fPIE,$(cc)) -fPIC $(CFLAGS) \
	    -shared $(filter-out -pie,$(ld)) $(LDFLAGS) -o $@ $< $(module.$*.ld)

define archive
$(OUT)/$(1).a: $$(patsubst %.c,$(OUT)/%.o,$$(call parts.src,$(1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(call say,AR,$$@)$$(AR) rcs $$@ $$^
endef
$(foreach d,$(daemons),$(eval $(call archive,$(d))))
$(foreach c,$(commands),$(eval $(call archive,cmd/$(c))))

define program
$(1): $(OUT)/$(2)/main.o $(call parts.a,$(2)) $(lib.a)
	@mkdir -p $$(@D)
	$$(call say,LD,$$@)$$(CC) $$(cc) $$(CFLAGS) $$(ld) $$(LDFLAGS) -o $$@ $$^ $(libs.$(notdir $(2))) $(libs.lib) $$(LDLIBS)
endef
$(foreach d,$(daemons),$(eval $(call program,$(OUT)/libexec/postern/$(d),$(d))))
$(foreach c,$(commands),$(eval $(call program,$(OUT)/sbin/$(c),cmd/$(c))))

$(OUT)/.links: $(command.bin)
	@$(foreach c,$(commands),$(foreach l,$(links.$(c)),ln -sf $(c) $(OUT)/sbin/$(l);))
	@touch $@

# What several tests share.
$(help.a): $(help.src:%.c=$(OUT)/%.o)
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR,$@)$(AR) rcs $@ $^

$(test.bin): $(OUT)/%: $(OUT)/%.o $(all.a) $(help.a) $(lib.a)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(cc) $(CFLAGS) $(ld) $(LDFLAGS) -o $@ $< -Wl,--start-group $(help.a) $(all.a) $(lib.a) -Wl,--end-group \
	    -lcmocka -lunbound $(libs.lib) $(LDLIBS)

# A fuzz target with a main() that feeds it each file of its corpus: any compiler.
$(replay.bin): $(OUT)/tests/replay/%: $(OUT)/tests/fuzz/%_fuzz.o $(OUT)/tests/fuzz/replay.o $(all.a) $(lib.a)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(cc) $(CFLAGS) $(ld) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(all.a) $(lib.a) -Wl,--end-group \
	    -lcmocka -lunbound $(libs.lib) $(LDLIBS)

-include tests/tests.mk

# The page of all parameters is made from their table, and kept in git for those
# who have no Python.
docs/postconf.5: docs/make-postconf.5 docs/postconf.5.in lib/config/parameters.def
	@if command -v python3 >/dev/null; then $< >$@.new && mv $@.new $@; else touch $@; fi

pages = $(filter-out docs/make-%,$(wildcard docs/*.$(1)))

# Who cannot read a program cannot look into its process, not even before that
# has switched it off itself: daemons of one user are kept apart.
install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/libexec/postern
	install -d $(DESTDIR)$(PREFIX)/lib/postern
	$(if $(module.so),install -m 644 $(module.so) $(DESTDIR)$(PREFIX)/lib/postern/)
	install -m 711 $(daemon.bin) $(DESTDIR)$(PREFIX)/libexec/postern/
	install -m 755 $(command.bin) $(DESTDIR)$(PREFIX)/sbin/
	$(foreach c,$(commands),$(foreach l,$(links.$(c)),ln -sf $(c) $(DESTDIR)$(PREFIX)/sbin/$(l);))
	install -d $(DESTDIR)$(PREFIX)/share/postern/conf $(DESTDIR)$(PREFIX)/share/doc/postern
	install -m 644 $(wildcard conf/*) $(DESTDIR)$(PREFIX)/share/postern/conf/
	$(foreach n,1 5 8,install -d $(DESTDIR)$(PREFIX)/share/man/man$(n); \
	    $(if $(call pages,$(n)),install -m 644 $(call pages,$(n)) $(DESTDIR)$(PREFIX)/share/man/man$(n)/;))

format:
	clang-format -i $$(git ls-files '*.[ch]')

clean:
	rm -rf $(BUILD)

-include $(shell find $(OUT) $(BUILD)/fuzz -name '*.d' 2>/dev/null)
