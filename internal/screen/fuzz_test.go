package screen

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"topupd/internal/fuzztest"
	"topupd/topup"
)

func TestFuzz(t *testing.T) { fuzztest.Briefly(t) }

// FuzzEvaluation: whatever details the ledger gives back, explain and targets
// tell the decision, in lines that a terminal shows as they are.
func FuzzEvaluation(f *testing.F) {
	f.Add([]byte(`{"threshold_from":"customer","declines":2,"invoices":[{"id":"inv_1","amount":"900.00 EUR","status":"paid","at":"2026-11-20T12:00:00Z","detail":"no"}]}`), "balance 5 is below 10")
	f.Add([]byte(`{"trouble_since":"2026-11-20T12:00:00Z"}`), "\x1b[31mred\n")
	f.Add([]byte(`{"invoices":[{"id":"\u001b]0;x\u0007","amount":"\n"}]}`), "")
	f.Add([]byte(`not JSON`), strings.Repeat("x", 5000))
	f.Add([]byte(`{"trouble_since":"0000-01-01T00:00:00Z","threshold_from":"\u202e"}`), "x")
	balance := 5 * topup.Credit
	f.Fuzz(func(t *testing.T, detail []byte, text string) {
		e := topup.Evaluation{
			Target: topup.Target{Provider: "hyperline://h/", Customer: "cus_1", Product: "itm_1"},
			Reason: topup.OverCap, Text: text, Balance: &balance, Threshold: &balance, Detail: json.RawMessage(detail),
		}
		lines := factLines(e, func(at time.Time) string { return at.UTC().Format(time.RFC3339) })
		if all := strings.Join(lines, ""); len(lines) < 2 || strings.ContainsFunc(all, unicode.IsControl) {
			t.Errorf("lines %q", lines)
		}
		if !strings.Contains(fmt.Sprint(lines), string(e.Reason)) {
			t.Errorf("the reason is not in %q", lines)
		}
		TroubleSince(e)
	})
}
