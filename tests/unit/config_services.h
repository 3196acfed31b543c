/*
 * config_services - a main.cf and a master.cf with services of all kinds.
 */
#pragma once

#include "lib/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static inline struct config_set *
load(const char *main_cf, const char *master_cf)
{
    struct config_set *set = NULL;
    struct why why = { 0 };
    enum result res = config_from_text(main_cf, master_cf, &set, &why);

    if (res != RESULT_OK)
        print_error("%s\n", why.text);
    assert_int_equal(res, RESULT_OK);
    return set;
}

static const char services_text[] =
    "smtp      inet  n       -       n       -       -       smtpd\n"
    "127.0.0.1:2525 inet n - - - 5 smtpd -v -v -o syslog_name=x\n"
    "# comment\n"
    "  -o { smtpd_banner = hello  world } -o smtpd_helo_required=yes\n"
    "  -o smtpd_client_restrictions=$mua_restrictions\n"
    "pickup    unix  n       -       n       60      1       pickup\n"
    "flush     unix  n       -       n       1000?   0       flush\n"
    "qmgr      unix  n       -       n       300     1       qmgr\n"
    "  -o slow_destination_rate_delay=2s\n"
    "slow      unix  -       n       n       -       -       smtp\n"
    "  -o smtp_helo_name=slow.$mydomain\n"
    "lmtp      unix  -       -       n       -       -       /x/lmtp\n"
    "maildrop  unix  -       n       n       -       -       pipe\n"
    "  -o myhostname=q flags=F user=v argv=/bin/x -d {a  $b} -o c=d\n"
    "cleanup   unix  n       -       n       -       0       cleanup\n"
    "  -o header_size_limit=7\n";

static const char services_main[] =
    "myhostname = mx.example.org\n"
    "mua_restrictions = ${smtpd_helo_required} $mydomain\n"
    "lmtp_lhlo_name = lhlo.example\n"
    "lmtp_connect_timeout = 7s\n"
    "slow_destination_concurrency_limit = 3\n"
    "default_destination_recipient_limit = 11\n"
    "local_destination_rate_delay = 500\n"
    "default_process_limit = 17\n";

static inline struct config_set *
load_services(void)
{
    return load(services_main, services_text);
}
