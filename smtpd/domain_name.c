#include "smtpd/domain_name.h"

#include "lib/mail/address.h"

bool
domain_is_fully_qualified(struct slice domain)
{
    if (domain_is_literal(domain))
        return true;
    if (domain.len > 0 && domain.ptr[domain.len - 1] == '.')
        domain = slice_head(domain, domain.len - 1);
    return domain_is_valid(domain) && slice_find(domain, '.') < domain.len;
}
