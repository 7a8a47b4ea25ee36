package hyperline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"

	"topupd/clients"
	"topupd/topup"
)

// pageSize is the largest page of every list; one more is a 400 (Hyperline API
// reference, "Pagination", read 2026-11-20).
const pageSize = 100

// malformed is a 2xx answer that is not what the documentation describes.
func malformed(op string, format string, args ...any) *clients.Error {
	return &clients.Error{Op: op, Reason: topup.FailedMalformed, Message: fmt.Sprintf(format, args...)}
}

// offsetPage is one page of a list with take and skip.
type offsetPage struct {
	rows  []clients.Object
	total int // -1 when the page does not say
	clients.Response
}

// offset reads the page that begins at skip.
func (r *reader) offset(ctx context.Context, op, path string, filter url.Values, skip int) (offsetPage, error) {
	return r.some(ctx, op, path, filter, skip, pageSize)
}

// window reads the rows from skip to skip + pageSize. Some servers give fewer rows
// than they are asked for: then it goes on behind what came, until the total. The
// page is as old as the first answer.
func (r *reader) window(ctx context.Context, op, path string, filter url.Values, skip int) (offsetPage, error) {
	page, err := r.offset(ctx, op, path, filter, skip)
	if err != nil {
		return page, err
	}
	page.rows = page.rows[:min(len(page.rows), pageSize)]
	for n := len(page.rows); n > 0 && len(page.rows) < pageSize && (page.total < 0 || skip+len(page.rows) < page.total); {
		next, err := r.some(ctx, op, path, filter, skip+len(page.rows), pageSize-len(page.rows))
		if err != nil {
			return page, err
		}
		n = min(len(next.rows), pageSize-len(page.rows))
		page.rows = append(page.rows, next.rows[:n]...)
		page.total = next.total
	}
	return page, nil
}

// some reads at most take rows from skip on.
func (r *reader) some(ctx context.Context, op, path string, filter url.Values, skip, take int) (offsetPage, error) {
	query := url.Values{}
	maps.Copy(query, filter)
	query.Set("take", strconv.Itoa(take))
	query.Set("skip", strconv.Itoa(skip))
	resp, err := r.get(ctx, op, path, query)
	if err != nil {
		return offsetPage{}, err
	}
	page := offsetPage{total: -1, Response: resp}
	envelope, rows, err := open(op, resp.Body)
	if err != nil {
		return offsetPage{}, err
	}
	page.rows = rows
	if meta, ok := envelope.Object("meta"); ok {
		if text, err := meta.Number("total"); err == nil {
			page.total = whole(text)
		}
	}
	return page, nil
}

// last tells whether nothing can follow the page. meta.taken is not asked: it is
// wrong on empty pages (seen live by others, docs/providers/hyperline.md). A page
// that is short although the total promises more is not the last: a row moved.
func (p offsetPage) last(skip int) bool {
	if len(p.rows) == 0 {
		return true
	}
	if p.total < 0 {
		return len(p.rows) < pageSize
	}
	return skip+pageSize >= p.total
}

// whole reads a count from 0 to a thousand million; -1 for everything else.
func whole(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1_000_000_000 {
		return -1
	}
	return n
}

// cursorPage is one page of a list with a cursor.
type cursorPage struct {
	rows []clients.Object
	next string // "" on the last page
	clients.Response
}

// errCursor is a list that does not end.
var errCursor = errors.New("the cursor of the list leads in circles")

// cursors reads a list with a cursor page by page until see returns false, the
// list ends (ended is true), or maxPages were read.
func (r *reader) cursors(ctx context.Context, op, path string, filter url.Values, maxPages int, see func(cursorPage) bool) (ended bool, err error) {
	seen, cursor := map[string]bool{}, ""
	for range maxPages {
		page, err := r.listed(ctx, op, path, filter, cursor)
		if err != nil {
			return false, err
		}
		if !see(page) {
			return page.next == "", nil
		}
		if page.next == "" {
			return true, nil
		}
		if seen[page.next] || len(page.rows) == 0 {
			return false, malformed(op, "%v", errCursor)
		}
		seen[page.next] = true
		cursor = page.next
	}
	return false, nil
}

// listed reads the page of a list that a cursor leads to; "" is the first one.
func (r *reader) listed(ctx context.Context, op, path string, filter url.Values, cursor string) (cursorPage, error) {
	query := url.Values{}
	maps.Copy(query, filter)
	query.Set("limit", strconv.Itoa(pageSize))
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	resp, err := r.get(ctx, op, path, query)
	if err != nil {
		return cursorPage{}, err
	}
	envelope, rows, err := open(op, resp.Body)
	if err != nil {
		return cursorPage{}, err
	}
	page := cursorPage{rows: rows, Response: resp}
	more, ok := envelope.Bool("has_more")
	if !ok {
		return cursorPage{}, malformed(op, "the list does not say whether more follows (has_more)")
	}
	if more {
		if page.next = envelope.Text("next_cursor"); page.next == "" || len(page.next) > 4096 {
			return cursorPage{}, malformed(op, "more rows follow, but next_cursor is missing")
		}
	}
	return page, nil
}

// open reads the envelope of a list. A row that is no object is an empty one: what
// it stands for is unknown, and whoever reads rows knows what that means there.
func open(op string, body []byte) (clients.Object, []clients.Object, error) {
	envelope, err := clients.ParseObject(body)
	if err != nil {
		return clients.Object{}, nil, malformed(op, "the answer is %v", err)
	}
	raw, ok := envelope.List("data")
	if !ok {
		return clients.Object{}, nil, malformed(op, "the answer has no list (data)")
	}
	if len(raw) > 10*pageSize {
		return clients.Object{}, nil, malformed(op, "a page of %d rows was asked for, %d came", pageSize, len(raw))
	}
	rows := make([]clients.Object, 0, len(raw))
	for _, text := range raw {
		row, err := clients.ParsePart(text)
		if err != nil {
			row = clients.Object{}
		}
		rows = append(rows, row)
	}
	return envelope, rows, nil
}
