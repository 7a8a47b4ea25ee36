package topup

import "time"

// Verdict is what one request told us. Unclear is the careful default.
type Verdict string

// The verdicts.
const (
	Accepted Verdict = "accepted"
	Rejected Verdict = "rejected" // a listed refusal, in the provider's own body shape
	NotRun   Verdict = "not_run"  // certainly not executed
	Unknown  Verdict = "unknown"
)

// Answer is one request's outcome in our words.
type Answer struct {
	Verdict Verdict       `json:"verdict"`
	Reason  FailureReason `json:"reason,omitempty"`
	Detail  string        `json:"detail,omitempty"` // for a person; redacted and cut
	Status  int           `json:"status,omitempty"` // HTTP status; 0 when no answer was read

	Reference string   `json:"reference,omitempty"`     // invoice or transaction id
	Charged   *Money   `json:"charged,omitempty"`       // what the provider says it charged
	Balance   *Credits `json:"balance_micro,omitempty"` // what it says the balance is now

	Written       int64         `json:"written"`              // application bytes that left; 0 proves nothing was sent
	Stop          bool          `json:"stop,omitempty"`       // 401 and 403: nothing more until the token changes
	WaitAndRepeat bool          `json:"wait,omitempty"`       // 409: an earlier request under the key is still running
	NeverRepeat   bool          `json:"never,omitempty"`      // 417: the key belongs to another request
	ServerTime    time.Time     `json:"server_time,omitzero"` // the Date header
	Duration      time.Duration `json:"duration_ns"`
}
