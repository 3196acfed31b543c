#include "cmd/postconf/fold.h"

static const char indent[] = "    ";

void
fold_text(struct fold *f, const char *text)
{
    buf_add_text(f->to, text);
    f->column += strlen(text);
}

void
fold_break(struct fold *f)
{
    if (f->limit == 0)
        return;
    buf_add_octet(f->to, '\n');
    buf_add_text(f->to, indent);
    f->column = sizeof(indent) - 1;
}

/* At the start of a line, and behind an indentation, stands no blank. */
void
fold_word(struct fold *f, struct slice word)
{
    bool fresh = f->to->len == 0 || f->to->ptr[f->to->len - 1] == ' ' ||
        f->to->ptr[f->to->len - 1] == '\n';

    if (!fresh && f->limit > 0 && f->column + 1 + word.len > f->limit) {
        fold_break(f);
        fresh = true;
    }
    if (!fresh) {
        buf_add_octet(f->to, ' ');
        f->column++;
    }
    buf_add(f->to, word);
    f->column += word.len;
}

void
fold_words(struct fold *f, const char *text)
{
    struct slice rest = slice_of(text), word;

    while (slice_word(&rest, " \t\r\n", &word))
        fold_word(f, word);
}
