package doctor

import (
	"context"
	"errors"
	"testing"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// scripted is a provider whose answers and books are written down: each request
// takes the next answer, each look the next books, the last ones for ever.
type scripted struct {
	answers []topup.Answer
	books   []topup.Books
}

func (s *scripted) Prepare(topup.Order) (topup.Request, error) {
	return topup.Request{Method: "POST", Path: "/buy", Body: []byte(`{}`)}, nil
}

func (s *scripted) Connect(context.Context) (topup.Sender, error) { return s, nil }

func (s *scripted) Close() error { return nil }

func (s *scripted) Send(context.Context, topup.Request, string) topup.Answer {
	a := s.answers[0]
	s.answers = s.answers[min(1, len(s.answers)-1):]
	return a
}

func (s *scripted) Books(context.Context, topup.Target, time.Time) (topup.Books, error) {
	b := s.books[0]
	s.books = s.books[min(1, len(s.books)-1):]
	return b, nil
}

func (s *scripted) BeginExperiment(context.Context, ledger.Experiment) error { return nil }
func (s *scripted) EndExperiment(context.Context, string, string) error      { return nil }

var tried = topup.Target{Provider: "hyperline://h/", Customer: "cus_1", Product: "itm_1"}

// listing are complete books with these invoices.
func listing(ids ...string) topup.Books {
	b := topup.Books{Complete: true}
	for _, id := range ids {
		b.Invoices = append(b.Invoices, topup.Invoice{ID: id, Products: []topup.ProductID{tried.Product}, Credit: true, At: time.Now().Add(time.Hour)})
	}
	return b
}

func yes(id string) topup.Answer {
	return topup.Answer{Verdict: topup.Accepted, Reference: id, Status: 201}
}

// TestWhatARepeatChargesIsNeverCalledHarmless: whenever and wherever a second
// charge shows, keys do not count as honoured, and the daemon repeats nothing.
func TestWhatARepeatChargesIsNeverCalledHarmless(t *testing.T) {
	t.Parallel()
	refused := topup.Answer{Verdict: topup.Unknown, NeverRepeat: true, Status: 417, Detail: "other bytes"}
	one, two := listing("inv_1"), listing("inv_1", "inv_2")
	for _, tt := range []struct {
		name    string
		answers []topup.Answer // to the same key, then to other bytes
		books   []topup.Books  // after each, then at the end
		unseen  bool           // the first purchase did not show in time
		want    string         // of keys_honoured; "" = nothing is known
	}{
		{"one charge", []topup.Answer{yes("inv_1"), refused}, []topup.Books{one}, false, "yes"},
		{"charged at once", []topup.Answer{yes("inv_1"), refused}, []topup.Books{two}, false, "no"},
		{"answered with another charge that no list shows", []topup.Answer{yes("inv_2"), refused}, []topup.Books{one}, false, "no"},
		{"charged while other bytes were refused", []topup.Answer{yes("inv_1"), refused}, []topup.Books{one, two}, false, "no"},
		{"charged when everything was over", []topup.Answer{yes("inv_1"), refused}, []topup.Books{one, one, two}, false, "no"},
		{"other bytes were executed, as they say", []topup.Answer{yes("inv_1"), yes("inv_2")}, []topup.Books{one, two}, false, "yes"},
		{"nobody knows how late a charge shows", []topup.Answer{yes("inv_1"), refused}, []topup.Books{one}, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &scripted{answers: tt.answers, books: tt.books}
			x := &lab{
				Patient: Patient{Now: time.Now}, Terms: Terms{SpendAtMost: topup.Money{Minor: 900_00, Currency: "EUR"}, Wait: time.Millisecond},
				buyer: s, record: s, announce: func(string) {}, unseen: tt.unseen, invoices: map[string]bool{"inv_1": true},
				order: topup.Order{Target: tried, Credits: topup.Credit, Price: topup.Money{Minor: 200_00, Currency: "EUR"}},
				spent: topup.Money{Currency: "EUR"}, began: time.Now(),
			}
			first := bought{order: x.order, key: "key", answer: yes("inv_1")}
			mustDo(t, x.sameKey(t.Context(), first))
			mustDo(t, x.otherBytes(t.Context(), first))
			mustDo(t, x.late(t.Context(), first))
			x.conclude()
			got := ""
			for _, c := range x.Capabilities {
				if c.Name == topup.KeysHonoured {
					got = c.Value
				}
			}
			if got != tt.want {
				t.Errorf("keys honoured: %q, want %q; said %+v", got, tt.want, x.Findings)
			}
		})
	}
}

// TestBooksInPartProveNothing: what could not be read may hold a second charge.
func TestBooksInPartProveNothing(t *testing.T) {
	t.Parallel()
	part := listing("inv_1")
	part.Complete = false
	x := &lab{buyer: &scripted{books: []topup.Books{part}}, invoices: map[string]bool{}, Terms: Terms{Wait: time.Millisecond}}
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if ids, err := x.charges(ctx, tried); err == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("charges = %v, %v; want that it goes on asking", ids, err)
	}
}
