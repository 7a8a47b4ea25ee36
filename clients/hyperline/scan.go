package hyperline

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"topupd/clients"
	"topupd/topup"
)

const (
	// inFlight is how many pages are asked for at once. The rate budget is the real
	// bound; this only hides the latency.
	inFlight = 6
	// maxRows bounds one scan, for the memory's sake.
	maxRows = 3_000_000
	// maxStale is after how many pages in a row that show nothing new a list has no
	// end: rows that move repeat a page or two, not as many as are read at once.
	maxStale = 2 * inFlight
	// maxDoubts bounds what of one scan is read again because rows moved.
	maxDoubts = 40
)

// listedTwice is why a balance that stands in two rows cannot be used: which of
// them it is, is unknown.
const listedTwice = "Hyperline lists this balance twice"

// key is one balance.
type key struct {
	customer topup.CustomerID
	product  topup.ProductID
}

// scan is one reading of a list of balances: those of the whole account, of the
// customers whose ids begin with a prefix, or of one customer.
type scan struct {
	*reader
	op, path string
	prefix   string
	hand     func(context.Context, []credit) error

	rows      map[key]sight
	pages     []span
	total     int           // as the list said last; -1 when it never did
	longest   int           // as it ever said
	doubts    map[key][]int // where balances stand that came twice although the list stood still
	twice     []key         // that stand in two rows indeed
	extra     int           // rows of those beyond their first
	unread    int           // rows that do not say whose they are
	unrelated int           // rows that the prefix should have kept out
	cut       bool          // the list is longer than maxRows
	stale     int           // pages in a row that showed nothing new
	torn      bool          // rows moved faster than they could be read again
}

// sight is where a balance was seen, and how long the list was then.
type sight struct{ skip, total int }

// span is a page that was read.
type span struct {
	sight
	rows int
}

func (r *reader) scan(op, path, prefix string, hand func(context.Context, []credit) error) *scan {
	return &scan{
		reader: r, op: op, path: path, prefix: prefix, hand: hand,
		rows: map[key]sight{}, doubts: map[key][]int{}, total: -1, longest: -1,
	}
}

// read reads the list to its end, several pages at once, and hands each over as
// it comes: one at a time, in any order.
//
// The list moves meanwhile. Rows that are added push others onto later pages:
// those come twice, and none is missed. Where a later page knew of fewer rows than
// the one before it, some may have slipped through between the two.
func (s *scan) read(ctx context.Context) error {
	first, err := s.window(ctx, s.reader, 0)
	if err != nil {
		return err
	}
	if s.mayNotSkip(first.total - pageSize) { // the end is out of reach
		return errCutShort
	}
	if err := s.take(ctx, first, 0); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{s.rest, s.mend, s.settle} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// window reads the rows from skip to skip + pageSize.
func (s *scan) window(ctx context.Context, r *reader, skip int) (offsetPage, error) {
	if r.mayNotSkip(skip) {
		return offsetPage{}, errCutShort
	}
	var filter url.Values
	if s.prefix != "" && s.path == bulkPath {
		filter = url.Values{"customer_id__startsWith": {s.prefix}}
	}
	page, err := r.window(ctx, s.op, s.path, filter, skip)
	if s.path == bulkPath && clients.Refused(err, http.StatusBadRequest) && skip+pageSize > skipLimit {
		return offsetPage{}, errCutShort
	}
	return page, err
}

// arrival is a page that came, or did not.
type arrival struct {
	page offsetPage
	skip int
	by   *reader
	err  error
}

// rest reads every page behind the first. A list that grows is read on to its
// new end.
func (s *scan) rest(ctx context.Context) (failed error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	came := make(chan arrival, inFlight)
	for skip, flying := pageSize, 0; ; {
		for failed == nil && flying < s.most() && s.more(skip) {
			at, one := skip, &reader{Client: s.Client, class: s.class}
			go func() {
				page, err := s.window(ctx, one, at)
				came <- arrival{page, at, one, err}
			}()
			skip += pageSize
			flying++
		}
		if flying == 0 {
			return failed
		}
		a := <-came
		flying--
		s.join(a.by)
		if failed == nil {
			if failed = a.err; failed == nil {
				failed = s.take(ctx, a.page, a.skip)
			}
			if failed != nil {
				cancel() // what is on its way is of no use
			}
		}
	}
}

// most is how many pages may be asked for at once. A list that does not say how
// long it is has to be felt along.
func (s *scan) most() int {
	if s.total < 0 {
		return 1
	}
	return inFlight
}

// more tells whether the page at skip is a part of the list.
func (s *scan) more(skip int) bool {
	switch {
	case s.unrelated > 0: // the filter is ignored: the rest would be the whole list
		return false
	case s.stale >= maxStale: // skip is ignored: it would go on without end
		return false
	case s.total >= 0 && skip >= s.total, s.total < 0 && s.pages[len(s.pages)-1].rows < pageSize:
		return false
	default:
		s.cut = skip >= maxRows
		return !s.cut
	}
}

// take takes in a page and hands its balances over.
func (s *scan) take(ctx context.Context, page offsetPage, skip int) error {
	at := sight{skip: skip, total: page.total}
	s.pages = append(s.pages, span{sight: at, rows: len(page.rows)})
	s.longest, s.total = max(s.longest, page.total), page.total
	s.stale++
	return s.pass(ctx, s.see(page, func(k key) {
		before, known := s.rows[k]
		if !known {
			s.stale = 0
		}
		if known && (before.total == at.total || before == at) {
			s.doubts[k] = append(s.doubts[k], before.skip, skip)
		}
		s.rows[k] = at
	}))
}

func (s *scan) pass(ctx context.Context, credits []credit) error {
	if s.hand == nil || len(credits) == 0 {
		return nil
	}
	return s.hand(ctx, credits)
}

// see returns the balances of a page, each once, and tells of each row.
func (s *scan) see(page offsetPage, tell func(key)) []credit {
	credits := make([]credit, 0, len(page.rows))
	at := map[key]int{}
	for _, row := range page.rows {
		c, err := readCredit(row, page.SentAt)
		if err != nil {
			s.unread++
			continue
		}
		if !strings.HasPrefix(strings.ToLower(string(c.customer)), strings.ToLower(s.prefix)) {
			s.unrelated++
			continue
		}
		k := key{c.customer, c.product}
		tell(k)
		if i, again := at[k]; again { // two rows of one answer are no reading
			credits[i].spoil(listedTwice)
			continue
		}
		if s.listsTwice(k) {
			c.spoil(listedTwice)
		}
		at[k] = len(credits)
		credits = append(credits, c)
	}
	return credits
}

// mend reads again what lies before each page that knew of fewer rows than the one
// before it: rows were taken away in between, or the later page was read first.
func (s *scan) mend(ctx context.Context) error {
	slices.SortFunc(s.pages, func(a, b span) int { return cmp.Compare(a.skip, b.skip) })
	mended := 0
	for i := 1; i < len(s.pages); i++ {
		before, after := s.pages[i-1], s.pages[i]
		if after.total >= before.total || after.rows == 0 && after.skip >= s.total {
			continue
		}
		lost := before.total - min(after.total, s.total)
		if mended++; lost > pageSize || mended > maxDoubts {
			s.torn = true
			return nil
		}
		unread := s.unread
		page, err := s.window(ctx, s.reader, max(0, after.skip-lost))
		if err != nil {
			return err
		}
		s.torn = s.torn || page.total < s.total
		s.longest, s.total = max(s.longest, page.total), page.total
		credits := s.see(page, func(k key) { s.rows[k] = sight{skip: after.skip, total: page.total} })
		s.unread = unread // they were counted
		if err := s.pass(ctx, credits); err != nil {
			return err
		}
	}
	return nil
}

// settle looks again at the balances that came twice although the list stood
// still. Those that stand in two rows are bad readings, by name; the others moved.
func (s *scan) settle(ctx context.Context) error {
	if len(s.doubts) > maxDoubts {
		s.torn = true
		return nil
	}
	places := map[int]bool{}
	for _, skips := range s.doubts {
		for _, skip := range skips {
			places[skip] = true
		}
	}
	rows, newest := map[key]int{}, map[key]credit{}
	for _, skip := range slices.Sorted(maps.Keys(places)) {
		unread := s.unread
		page, err := s.window(ctx, s.reader, skip)
		if err != nil {
			return err
		}
		for _, c := range s.see(page, func(k key) { rows[k]++ }) {
			newest[key{c.customer, c.product}] = c
		}
		s.unread = unread
	}
	again := make([]credit, 0, len(s.doubts))
	for k := range s.doubts {
		c, there := newest[k]
		if !there {
			continue
		}
		if rows[k] > 1 {
			s.twice = append(s.twice, k)
			s.extra += rows[k] - 1
			c.spoil(listedTwice)
		}
		again = append(again, c)
	}
	return s.pass(ctx, again)
}

// missing says what the list did not show; "" when it was read consistently to its
// end.
func (s *scan) missing() string {
	least, have := s.shortest(), len(s.rows)+s.extra+s.unread
	switch {
	case s.unrelated > 0:
		return errFilterIgnored.Error()
	case s.cut:
		return fmt.Sprintf("the list of %d balances was cut after %d", s.longest, maxRows)
	case have < least:
		return fmt.Sprintf("%d of %d balances were not shown", least-have, least)
	case least >= 0 && have > s.longest:
		return fmt.Sprintf("the list has %d balances and shows %d", s.longest, have)
	case s.unread > 0:
		return fmt.Sprintf("%d of %d rows do not say whose balance they are", s.unread, have)
	case s.torn:
		return "balances moved faster than they could be read"
	default:
		return ""
	}
}

// short is how many balances the list did not show.
func (s *scan) short() int { return max(0, s.shortest()-len(s.rows)-s.extra-s.unread) }

// shortest is how long the list said it is when it was shortest.
func (s *scan) shortest() int {
	least := s.total
	for _, p := range s.pages {
		least = min(least, p.total)
	}
	return least
}
