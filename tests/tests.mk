# What is built and run for "make check" and its parts; see tests/run.
actor := $(addprefix $(OUT)/tests/actor/,actor asker rogue liar)
hooked := $(OUT)/tests/hooks/local $(OUT)/tests/hooks/qmgr
power_cut := $(OUT)/tests/crash/power_cut/power_cut

bench.src := $(filter-out %/tally.c,$(wildcard tests/bench/*.c))
bench.bin := $(bench.src:%.c=$(OUT)/%)

check-build: all $(test.bin) $(replay.bin) $(actor) $(hooked) $(power_cut) $(bench.bin)

check: check-build
	tests/run --out $(OUT)

check-unit: $(test.bin)
	tests/run --out $(OUT) --stage unit

# Power cuts: all that "make check" has a sample of. CRASH_STATES=1000000 has more.
check-crash: CRASH_STATES ?= 100000
check-crash: check-build
	CRASH_STATES=$(CRASH_STATES) TEST_TIMEOUT=7200 tests/run --out $(OUT) --stage crash
	POSTERN_OUT=$(abspath $(OUT)) POWER_CUTS=1000 POWER_CUT_STARTS=10 POWER_CUT_SECONDS=10 \
	    /usr/bin/python3 -m pytest -q -s -p no:cacheprovider tests/system/test_power_cut.py

# Two days of 100,000 messages in the deterministic core; SIM_SEED, which it
# prints, makes a failing one happen again.
SIM_SEED ?= $(shell date +%s)
check-sim: $(OUT)/tests/unit/qmgr_sim_test
	SIM_SEED=$(SIM_SEED) SIM_MESSAGES=100000 SIM_DAYS=2 $<
	# Dense enough for mail to outlive its destinations' crashes.
	SIM_SEED=2014 SIM_DAYS=1 SIM_MESSAGES=20000 SIM_HOURS=5 $(OUT)/tests/unit/qmgr_sim_test
	# Short days, many of them with a full disk from early on.
	SIM_SEED=100 SIM_DAYS=400 SIM_MESSAGES=1000 SIM_HOURS=2 $(OUT)/tests/unit/qmgr_sim_test

check-fuzz: $(replay.bin)
	tests/run --out $(OUT) --stage fuzz

check-system: all $(actor) $(hooked) $(power_cut) $(bench.bin)
	tests/run --out $(OUT) --stage system

lint:
	TIDY=1 tests/run --out $(OUT) --stage lint

# A private instance that delivers two messages; see tests/demo.
demo:
	@tests/install-packages --build
	@$(MAKE) --no-print-directory -s all
	@tests/demo $(OUT) $(BUILD)/demo

demo-stop:
	@tests/demo --stop $(BUILD)/demo

# Real clients: installs them (as root), nodemailer below build/.
check-clients: all
	tests/install-packages msmtp swaks curl
	command -v npm >/dev/null || tests/install-packages nodejs npm
	npm install --silent --no-fund --no-audit --prefix $(BUILD)/clients nodemailer
	POSTERN_OUT=$(abspath $(OUT)) /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/system/test_clients.py

# Tables in real servers: installs them (as root), starts each one for itself.
check-tables: all
	tests/install-packages redis-server memcached slapd postgresql mariadb-server-core sqlite3
	CHECK_TABLES=1 POSTERN_OUT=$(abspath $(OUT)) /usr/bin/python3 -m pytest -q -p no:cacheprovider \
	    tests/system/test_table_types.py tests/system/test_network_tables.py tests/system/test_sql_tables.py

# Another MTA as the next hop: Debian's Postfix, unpacked below build/ and run in
# namespaces of its own (as root).
postfix.peer := $(BUILD)/peers/postfix

$(postfix.peer):
	@mkdir -p $(@D)
	cd $(@D) && { apt-get -qq download postfix || { apt-get -qq update && apt-get -qq download postfix; }; }
	rm -rf $@.new && dpkg -x $(@D)/postfix_*.deb $@.new && mv $@.new $@

# Policy servers and a proxy, and what of theirs is not among tests/packages. Not
# installed either: their packages would start them, and one wants Postfix.
services.peer := $(BUILD)/peers/services
services.debs := postgrey postfwd postfix-policyd-spf-python haproxy \
    libberkeleydb-perl libnetaddr-ip-perl libnet-server-perl libnet-dns-perl libnet-cidr-perl \
    libio-multiplex-perl python3-spf-engine python3-authres python3-dns python3-spf \
    python3-pkg-resources liblua5.3-0 libopentracing1 libopentracing-c-wrapper0

$(services.peer):
	@mkdir -p $@.debs
	cd $@.debs && { apt-get -qq download $(services.debs) || \
	    { apt-get -qq update && apt-get -qq download $(services.debs); }; }
	rm -rf $@.new && for d in $@.debs/*.deb; do dpkg -x $$d $@.new || exit 1; done && mv $@.new $@

peers.tests := second_mta services haproxy
check-peers: all $(postfix.peer) $(services.peer)
	POSTERN_OUT=$(abspath $(OUT)) /usr/bin/python3 -m pytest -q -p no:cacheprovider \
	    $(peers.tests:%=tests/system/test_%.py)

# What takes too long for every change: the same tests with larger numbers.
long.tests := kill bulk second_mta scale rogue full_disk poison session_limit list trickle
check-long: check-build $(postfix.peer)
	TEST_TIMEOUT=3600 CRASH_STATES=200000 tests/run --out $(OUT) --stage crash
	POSTERN_OUT=$(abspath $(OUT)) KILL_ROUNDS=30 BULK_MESSAGES=10000 \
	    LIST_RECIPIENTS=100000 LIST_SINGLES=500 SESSION_LIMIT_MESSAGES=6000 TRICKLE_SESSIONS=10000 \
	    /usr/bin/python3 -m pytest -q -p no:cacheprovider $(long.tests:%=tests/system/test_%.py)

deps:
	tests/install-packages

# Each target for FUZZ_SECONDS, with clang's libFuzzer. What it makes is in
# build/fuzz/found: an input that fails belongs into tests/fuzz/corpus, mended.
# FUZZ_TARGETS="path bdat": only these. "make fuzz-long": an hour each.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(fuzz.src:tests/fuzz/%_fuzz.c=%)
fuzz.bin := $(fuzz.src:tests/fuzz/%_fuzz.c=$(BUILD)/fuzz/%)
fuzz.run := $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%)
fuzz.a   := $(patsubst %,$(BUILD)/fuzz/%.a,$(foreach d,$(daemons),$(if $(call parts.src,$(d)),$(d))) lib)
FUZZ_FLAGS := -g -O1 -fsanitize=address,undefined -DPOSTERN_TEST_HOOKS

$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)clang $(cpp) -std=gnu17 $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<

$(BUILD)/fuzz/obj/%.o: %.S
	@mkdir -p $(@D)
	$(call say,CC,$<)clang $(cpp) -c -o $@ $<

# One archive for each daemon, since they share names.
define fuzz_archive
$(BUILD)/fuzz/$(1).a: $$(patsubst %,$(BUILD)/fuzz/obj/%.o,$$(basename $(2)))
	@rm -f $$@
	$(call say,AR,$$@)$(AR) rcs $$@ $$^
endef
$(eval $(call fuzz_archive,lib,$$(lib.src)))
$(foreach d,$(daemons),$(eval $(call fuzz_archive,$(d),$$(call parts.src,$(d)))))

$(fuzz.bin): $(BUILD)/fuzz/%: tests/fuzz/%_fuzz.c $(fuzz.a)
	$(call say,LD,$@)clang $(cpp) -std=gnu17 $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(fuzz.a) -Wl,--end-group \
	    -lcmocka -lunbound $(libs.lib) -pthread

fuzz-long: FUZZ_SECONDS = 3600
fuzz-long: fuzz
fuzz: $(fuzz.run)
	@for t in $(fuzz.run); do n=$$(basename $$t); echo "== $$n"; \
	    f=$(BUILD)/fuzz/found/$$n; mkdir -p $$f; \
	    $$t -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=10 -rss_limit_mb=2048 \
	        -artifact_prefix=$$f/ -print_final_stats=1 $$f tests/fuzz/corpus/$$n || exit 1; done

# Stand-ins for daemons in the tests of master and of their links.
$(OUT)/tests/actor/actor: $(OUT)/tests/actor/main.o $(lib.a)
$(OUT)/tests/actor/asker: $(addprefix $(OUT)/tests/actor/,asker.o taken_over.o) $(lib.a)
$(OUT)/tests/actor/rogue: $(addprefix $(OUT)/tests/actor/,rogue.o taken_over.o) $(lib.a)
$(OUT)/tests/actor/liar: $(addprefix $(OUT)/tests/actor/,liar.o taken_over.o) $(lib.a)
$(actor):
	$(call say,LD,$@)$(CC) $(cc) $(CFLAGS) $(ld) $(LDFLAGS) -o $@ $^ $(libs.lib) $(LDLIBS)

# Daemons with a hook: the one object that has it built anew, ahead of the archive
# that has it without. A local that dies of marked messages; a qmgr that records
# what it does to the disk.
$(OUT)/tests/hooks/objects/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(cpp) $(CPPFLAGS) -DPOSTERN_TEST_HOOKS $(cc) $(CFLAGS) -c -o $@ $<
hook = $(patsubst %,$(OUT)/tests/hooks/objects/%.o,$(1)) $(OUT)/$(2)/main.o $(OUT)/$(2).a $(lib.a)
$(OUT)/tests/hooks/local: $(call hook,local/agent,local)
	$(call say,LD,$@)$(CC) $(cc) $(CFLAGS) $(ld) $(LDFLAGS) -o $@ $^ $(libs.local) $(libs.lib) $(LDLIBS)
$(OUT)/tests/hooks/qmgr: $(call hook,qmgr/manager qmgr/spool/disk_record,qmgr)
	$(call say,LD,$@)$(CC) $(cc) $(CFLAGS) $(ld) $(LDFLAGS) -o $@ $^ $(libs.qmgr) $(libs.lib) $(LDLIBS)

# Makes the disk of such a recording again, at any instant.
$(power_cut): $(OUT)/tests/crash/power_cut/main.o $(help.a) $(OUT)/qmgr.a $(lib.a)
	$(call say,LD,$@)$(CC) $(cc) $(CFLAGS) $(ld) $(LDFLAGS) -o $@ $^ $(libs.lib) $(LDLIBS)

# tests/bench: the spool alone, a backlog in its format, load and its receiver.
$(bench.bin): $(OUT)/%: $(OUT)/%.o $(OUT)/tests/bench/tally.o $(OUT)/qmgr.a $(lib.a)
	$(call say,LD,$@)$(CC) $(cc) $(CFLAGS) $(ld) $(LDFLAGS) -o $@ $^ $(libs.lib) $(LDLIBS)

# What this machine does in how much time: BENCH_SCALE=1 is the whole size.
BENCH_SCALE ?= 0.2
bench: all $(bench.bin)
	tests/bench/bench --out $(OUT) --scale $(BENCH_SCALE) $(BENCH_OPTIONS)
