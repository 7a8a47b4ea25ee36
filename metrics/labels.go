package metrics

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"topupd/topup"
)

// The closed sets of label values that topup does not have a list of.
var (
	purchaseResults = []string{string(topup.Credited), string(topup.Declined), string(topup.FailedRefused), string(topup.Cancelled), string(topup.NeedsReview)}
	pollResults     = []string{"ok", "incomplete", "error"}
	unpaidPayments  = []topup.Payment{topup.PaymentPending, topup.PaymentFailed}
	pauseScopes     = []topup.PauseScope{topup.PauseAll, topup.PauseProvider, topup.PauseRule, topup.PauseCustomer}
	budgetKinds     = []string{"reads", "writes"}
	ledgerReasons   = []string{"in_doubt", "conflict", "timeout", "connection", "constraint", other}
)

const (
	// other stands for every value that is not in its closed set.
	other = "other"
	// noRule stands for "no rule matches".
	noRule = "none"

	// maxOps bounds the operations shown over all providers and maxQueries those of the
	// ledger. Both are several times what the program has: they bound a mistake,
	// such as an id in the name of an operation.
	maxOps     = 256
	maxQueries = 128

	// maxLabel bounds a label value, in bytes, inclusive. Ids from providers
	// are bounded by the clients far below it.
	maxLabel = 200
)

// label makes any text a valid label value: valid UTF-8 of at most maxLabel
// bytes. client_golang refuses invalid UTF-8.
func label(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxLabel {
		return s
	}
	end := maxLabel
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

func ruleLabel(rule string) string {
	if rule == "" {
		return noRule
	}
	return rule
}

// reasonLabel lets the reasons of the closed list pass. Should the program know
// another one, its targets must still be seen.
func reasonLabel(reason topup.Reason) string {
	if slices.Contains(topup.Reasons(), reason) {
		return string(reason)
	}
	return other
}

// codeLabel lets HTTP status codes and "error" pass.
func codeLabel(code string) string {
	if code == "error" || len(code) == 3 && code >= "100" && code <= "599" && strings.Trim(code, "0123456789") == "" {
		return code
	}
	return other
}

func failureLabel(reason topup.FailureReason) string {
	if slices.Contains(topup.FailureReasons(), reason) {
		return string(reason)
	}
	return other
}

// openStates are the states of purchases that block their target.
func openStates() []topup.State {
	return slices.DeleteFunc(topup.States(), func(s topup.State) bool { return !s.Open() })
}

// bounded is a set that stops growing.
type bounded struct {
	mu   sync.Mutex
	max  int
	seen map[string]bool
}

func newBounded(limit int) *bounded { return &bounded{max: limit, seen: map[string]bool{}} }

// admit tells whether the value may be a label: it is known, or there is room.
func (b *bounded) admit(value string) (known, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen[value] {
		return true, true
	}
	if len(b.seen) >= b.max {
		return false, false
	}
	b.seen[value] = true
	return false, true
}

// with hands the series of the label values to use. Label values are made
// valid first; should the series still not exist, that is said once and
// nothing is counted, since no metric is worth stopping a purchase for.
func with[M any](m *Metrics, get func(...string) (M, error), use func(M), values ...string) {
	valid := make([]string, len(values))
	for i, v := range values {
		valid[i] = label(v)
	}
	metric, err := get(valid...)
	if err != nil {
		if m.first(err.Error()) {
			m.log.Warn("metric not counted", slog.Any("err", err))
		}
		return
	}
	use(metric)
}

// first tells whether this kind of oddity is new: each is logged once, and at
// most a hundred of them.
func (m *Metrics) first(kind string) bool {
	m.strangeMu.Lock()
	defer m.strangeMu.Unlock()
	if m.strange[kind] || len(m.strange) >= 100 {
		return false
	}
	m.strange[kind] = true
	return true
}
