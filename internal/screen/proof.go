package screen

import (
	"encoding/json"
	"slices"
	"time"

	"topupd/ledger"
	"topupd/topup"
)

// ProofFile is everything that the ledger can prove about one charge, for
// programs. It holds no secret: none is ever stored.
type ProofFile struct {
	PurchaseFile
	Decision        decisionRecord  `json:"decision"`
	FingerprintHeld bool            `json:"request_sha256_holds"` // worked out again from the stored request
	Permits         []permitRecord  `json:"permits"`
	EmptyLooks      int             `json:"empty_looks"` // complete ones in a row since the last send; not counted while in review
	LookedAt        *string         `json:"looked_at"`   // the last complete one
	Baseline        []string        `json:"baseline"`    // ids that were there before
	Trail           json.RawMessage `json:"balance_trail"`
	Balances        []balanceRecord `json:"balances"` // the last that polls saw, oldest first
}

// decisionRecord is why it was bought.
type decisionRecord struct {
	Text          *string  `json:"text"`
	FirstBalance  *string  `json:"first_balance"`
	FirstLowAt    *string  `json:"first_low_at"`
	SecondBalance string   `json:"second_balance"`
	SecondReadAt  *string  `json:"second_read_at"`
	Threshold     string   `json:"threshold"`
	ThresholdFrom *string  `json:"threshold_from"`
	PaymentMethod *string  `json:"payment_method"`
	Caps          []string `json:"caps"`
}

type permitRecord struct {
	N         int     `json:"n"`
	At        *string `json:"at"`
	Replica   string  `json:"replica"`
	LeaseTerm int64   `json:"lease_term"`
	Key       string  `json:"idempotency_key"`
	Request   string  `json:"request_sha256"`
	Token     string  `json:"token_fingerprint"`
	Run       bool    `json:"may_have_run"` // false: certainly not
}

type balanceRecord struct {
	ReadAt      *string `json:"read_at"`
	RefreshedAt *string `json:"refreshed_at"`
	Balance     string  `json:"balance"`
}

// ProofOf is what the ledger can prove about a purchase. seen are the readings of
// its target, newest first.
func ProofOf(p topup.Purchase, evidence []topup.Evidence, permits []ledger.Permit, seen []topup.Evaluation) (ProofFile, error) {
	f := ProofFile{
		PurchaseFile: FileOf(p, evidence), Decision: decisionOf(p, evidence), FingerprintHeld: p.Request.Fingerprint() == p.Fingerprint,
		Permits: []permitRecord{}, EmptyLooks: p.EmptyLooks, LookedAt: Stamp(p.LookedAt), Baseline: p.Baseline,
		Trail: json.RawMessage("null"), Balances: []balanceRecord{},
	}
	if f.Baseline == nil {
		f.Baseline = []string{}
	}
	for _, r := range permits {
		f.Permits = append(f.Permits, permitRecord{
			N: r.N, At: Stamp(&r.At), Replica: r.Replica, LeaseTerm: r.Term, Key: r.Key, Request: r.Fingerprint,
			Token: r.TokenFingerprint, Run: r.Used,
		})
	}
	if p.Trail.Begun {
		var err error
		if f.Trail, err = json.Marshal(p.Trail); err != nil {
			return f, err
		}
	}
	for _, e := range slices.Backward(seen) {
		if e.Balance != nil && around(p, e.ReadAt) {
			f.Balances = append(f.Balances, balanceRecord{ReadAt: Stamp(&e.ReadAt), RefreshedAt: Stamp(&e.RefreshedAt), Balance: e.Balance.String()})
		}
	}
	return f, nil
}

// around tells whether a reading is from the time of the purchase: an hour
// before it was planned to an hour after it ended.
func around(p topup.Purchase, at time.Time) bool {
	return !at.Before(p.PlannedAt.Add(-time.Hour)) && (p.FinishedAt == nil || !at.After(p.FinishedAt.Add(time.Hour)))
}

// decisionOf is the first line of the history with its facts.
func decisionOf(p topup.Purchase, evidence []topup.Evidence) decisionRecord {
	d := decisionRecord{
		SecondBalance: p.BalanceBefore.String(), SecondReadAt: Stamp(&p.ReadAt), Threshold: p.Threshold.String(), Caps: []string{},
	}
	for _, e := range evidence {
		if e.Kind != topup.EvidencePlanned {
			continue
		}
		var facts struct {
			FirstBalance  string     `json:"first_balance"`
			FirstLowAt    *time.Time `json:"first_low_at"`
			ThresholdFrom string     `json:"threshold_from"`
			PaymentMethod string     `json:"payment_method"`
			Caps          []string   `json:"caps"`
		}
		_ = json.Unmarshal(e.Detail, &facts) // an extra: without it the text stands
		d.Text, d.FirstBalance, d.FirstLowAt = Word(e.Text), Word(facts.FirstBalance), Stamp(facts.FirstLowAt)
		d.ThresholdFrom, d.PaymentMethod = Word(facts.ThresholdFrom), Word(facts.PaymentMethod)
		if facts.Caps != nil {
			d.Caps = facts.Caps
		}
		break
	}
	return d
}
