package emulator

import (
	"strings"
	"testing"
	"time"
)

func TestAPastPurchaseLooksAsIfItHadBeenMadeThen(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Customers: 2, NoUsage: true}})
	then, expires := noon.AddDate(0, 0, -20), noon.AddDate(0, 2, 0)
	ids, err := b.AddPast(
		PastPurchase{Customer: FirstCustomer, At: then, Expires: &expires, Key: "a-key-of-long-ago"},
		PastPurchase{Customer: FirstCustomer, At: then.Add(time.Hour), Price: LargePack, Source: SourcePortal},
	)
	must(t, err)
	list := b.get("/v2/invoices?status=all&sort=created_at&order=desc").body
	if first, second := strings.Index(list, ids[1]), strings.Index(list, ids[0]); first < 0 || second < first {
		t.Errorf("the list is not newest first: %s", list)
	}
	rows := b.get("/v1/customers/" + FirstCustomer + "/credits/" + Product + "/transactions?type=topup&invoice_id=" + ids[0]).body
	for _, part := range []string{`"created_at":"2026-10-31T`, `"expires_at":"2027-01-20"`, `"source":"api"`} {
		if !strings.Contains(rows, part) {
			t.Errorf("the row lacks %s: %s", part, rows)
		}
	}
	books := b.Books().For(FirstCustomer)
	if len(books) != 2 || books[0].Key != "a-key-of-long-ago" || !books[0].At.Equal(then) || !books[0].Captured || books[1].Source != SourcePortal {
		t.Errorf("books %+v", books)
	}
	for _, bad := range []PastPurchase{{Customer: "cus_x", At: then}, {Customer: FirstCustomer, Price: "pri_x", At: then}} {
		if _, err := b.AddPast(bad); err == nil {
			t.Errorf("AddPast(%+v) = nil, want an error", bad)
		}
	}
}

func TestMistakesShowInTheListsAndNotInTheBooks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mistake Mistake
		invoice string // part of the invoice; "" when it is gone
		rows    []string
	}{
		{MistakeNoInvoice, "", []string{`"total":0`}},
		{MistakeNoRow, `"status":"paid"`, []string{`"total":0`}},
		{MistakeTwoRows, `"status":"paid"`, []string{`"total":2`}},
		{MistakeAmount, `"amount_excluding_tax":20100`, []string{`"total":1`}},
		{MistakeCredits, `"status":"paid"`, []string{`"credit_count":119`}},
		{MistakeExpiry, `"status":"paid"`, []string{`"expires_at":"2026-12-20"`}},
		{MistakeUnpaid, `"status":"to_pay"`, []string{`"total":1`}},
		{MistakeRefunded, `"refunded_at":"2026-11-20T`, []string{`"total":1`}},
		{MistakeNoBill, "", []string{`"invoice_id":null`}},
	} {
		t.Run(string(tt.mistake), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{Hyperline: HyperlineOptions{Customers: 1, NoUsage: true}})
			ids, err := b.AddPast(PastPurchase{Customer: FirstCustomer, At: noon.Add(-time.Hour)})
			must(t, err)
			b.ask("POST", "/_emulator/invoices/"+ids[0]+"/spoil", `{"mistake":"`+string(tt.mistake)+`"}`, nil).want(t, 204)
			answer := b.get("/v2/invoices/" + ids[0])
			if tt.invoice == "" && answer.status != 404 || !strings.Contains(answer.body, tt.invoice) {
				t.Errorf("invoice: %d %s", answer.status, answer.body)
			}
			rows := b.get("/v1/customers/" + FirstCustomer + "/credits/" + Product + "/transactions?type=topup").body
			for _, part := range tt.rows {
				if !strings.Contains(rows, part) {
					t.Errorf("rows lack %s: %s", part, rows)
				}
			}
			if charged := b.Books().Captured(); len(charged) != 1 || charged[0].AmountMinor != 200_00 {
				t.Errorf("what was truly charged: %+v", charged)
			}
		})
	}
	b := newBench(t, Options{Hyperline: HyperlineOptions{Customers: 1}})
	b.ask("POST", "/_emulator/invoices/inv_x/spoil", `{"mistake":"no_row"}`, nil).want(t, 400)
	ids, err := b.AddPast(PastPurchase{Customer: FirstCustomer, At: noon})
	must(t, err)
	if err := b.Spoil(ids[0], "typo"); err == nil || !strings.Contains(err.Error(), "use one of") {
		t.Errorf("an unknown mistake: %v", err)
	}
	must(t, b.Spoil(ids[0], MistakeRefunded))
	if err := b.Spoil(ids[0], MistakeRefunded); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("paid back twice: %v", err)
	}
}

func TestCreditsCanBeGivenAway(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Hyperline: HyperlineOptions{Customers: 1, NoUsage: true}, Talkover: TalkoverOptions{Environments: 1}})
	must(t, b.SetBalance(FirstCustomer, dec("100")))
	b.ask("POST", "/_emulator/customers/"+FirstCustomer+"/grant", `{"credits":50}`, nil).want(t, 204)
	if got := b.Customers()[0].Balance; got != "150" {
		t.Errorf("balance %s, want 150", got)
	}
	if len(b.Books().Charges) != 0 {
		t.Errorf("a gift was charged: %+v", b.Books())
	}
	if err := b.Grant("env-1", dec("1")); err == nil {
		t.Error("Talkover gave credits away")
	}
}
