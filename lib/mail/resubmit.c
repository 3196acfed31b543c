#include "lib/mail/resubmit.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/mail/date.h"
#include "lib/mail/queue_id.h"

void
resubmit_received(const struct config *config, uint64_t id, struct buf *to)
{
    char text[QUEUE_ID_SIZE], date[DATE_SIZE];

    buf_add_format(to, "Received: by %s (%s)\r\n\tid %s; %s\r\n",
        config->myhostname, config->mail_name,
        queue_id_text(id, config->enable_long_queue_ids, text),
        date_text(clock_wall_s(), date));
}

enum result
resubmit_content(struct content *content, struct cleanup *c, struct why *why)
{
    char *scratch = mem_alloc(CONTENT_PIECE);
    enum result res = RESULT_OK;
    struct slice piece;

    while (res == RESULT_OK && content->step != CONTENT_STEP_END) {
        res = content_next(content, scratch, &piece, why);
        if (res == RESULT_OK)
            cleanup_content(c, piece);
    }
    mem_free(scratch);
    return res;
}
