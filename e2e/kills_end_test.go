package e2e

import (
	"fmt"
	"strings"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
)

// finish lets a daemon live, without faults and usage, until nothing is in
// flight, and holds the ledger against the providers' books.
func (k *killing) finish() {
	k.t.Helper()
	k.calm()
	k.free(true)
	restarted := time.Now()
	d := k.started()
	k.ends()
	if code := d.stop(); code != 0 {
		k.t.Errorf("exit code %d", code)
	}
	k.audit(restarted)
}

// calm ends faults and usage.
func (k *killing) calm() {
	k.t.Helper()
	k.till.forgive()
	k.emu.SetFaults(emulator.Faults{})
	k.emu.StopUsage()
	k.person()
}

// ends waits until every purchase has ended and every customer has credits.
func (k *killing) ends() {
	k.t.Helper()
	last, left := time.Time{}, ""
	defer func() {
		if k.t.Failed() {
			k.t.Log(left)
		}
	}()
	until(k.t, 3*time.Minute, "every purchase to end and every customer to have credits", func() bool {
		if time.Since(last) < time.Second { // the questions cost more than the daemon
			return false
		}
		last = time.Now()
		k.person()
		k.believe()
		open, low := k.uncredited(), k.waiting()
		left = fmt.Sprintf("%d purchases are open; low and not bought for: %v", open, low)
		return open == 0 && len(low) == 0
	})
}

// believe is a person who says that a Talkover account is empty indeed: its zero
// would be believed after ten minutes, since nothing moves its stamp any more.
func (k *killing) believe() {
	k.t.Helper()
	for _, row := range k.rows(`SELECT DISTINCT p.name FROM fall f JOIN provider p ON p.id = f.provider WHERE f.state = 'open' AND p.name <> 'hyperline'`) {
		_, _, _ = k.place.run("resume", "--provider", row[0], "--by", "test", "--reason", "it is empty indeed") // another reading may have ended it
	}
}

// audit holds the ledger against the providers' own books.
func (k *killing) audit(restarted time.Time) {
	k.t.Helper()
	last := k.counted(`SELECT coalesce(max(finished_at), 0) FROM purchase`)
	repeated := k.rows(`SELECT count(*), coalesce(max(repeats), 0) FROM purchase WHERE repeats > 0`)[0]
	captured := k.judge()
	inReview := k.inReview()
	k.needless()
	k.lost()
	k.t.Logf("%d lives: %d payments captured, %v; %s purchases repeated up to %s times; %d in review at Hyperline; the last purchase ended %s after the last restart",
		k.lives, captured, k.states(), repeated[0], repeated[1], inReview, time.UnixMicro(int64(last)).Sub(restarted).Round(100*time.Millisecond))
}

// uncredited counts the purchases that will still move by themselves. A
// confirmed one stays while its invoice is unpaid.
func (k *killing) uncredited() int {
	k.t.Helper()
	return k.counted(`SELECT count(*) FROM purchase WHERE state IN ('planned', 'held', 'sent') OR state = 'confirmed' AND payment <> 'failed'`)
}

// waiting lists the customers who are low although nothing keeps topupd from
// buying for them: nobody's purchase waits for a person, for the card or for
// the rest after a declined one.
func (k *killing) waiting() (who []string) {
	k.t.Helper()
	stuck := map[string]bool{}
	for _, row := range k.rows(`SELECT customer FROM purchase WHERE state IN ('needs_review', 'confirmed')`) {
		stuck[row[0]] = true
	}
	for _, row := range k.rows(fmt.Sprintf(`SELECT customer FROM target WHERE suspended_at IS NOT NULL OR backoff_until > %d`, time.Now().UnixMicro())) {
		stuck[row[0]] = true
	}
	for _, c := range k.emu.Customers() {
		if low(c.Provider, c.Balance) && !stuck[c.ID] {
			who = append(who, c.ID)
		}
	}
	return who
}

// low tells whether a balance is below the threshold that these tests configure.
func low(provider, balance string) bool {
	threshold := int64(500)
	if provider == "talkover" {
		threshold = 50
	}
	return decimal.MustParse(balance).Cmp(whole(threshold)) < 0
}

// needless: a charge that ran although the balance was not low is a second one,
// under whatever key.
func (k *killing) needless() {
	k.t.Helper()
	for _, c := range k.emu.Books().Captured() {
		if c.Source == emulator.SourceAPI && !low(c.Provider, c.Before) {
			k.t.Errorf("charge %s%s of %s ran at %s with a balance of %s", c.Invoice, c.ID, c.Customer, c.At, c.Before)
		}
	}
}

// lost: at Hyperline every captured payment explains a purchase that counts as
// charged, whatever was answered. A purchase that needs review does not count.
func (k *killing) lost() {
	k.t.Helper()
	charged := map[string]string{}
	for _, row := range k.rows(`SELECT reference, state FROM purchase WHERE reference IS NOT NULL`) {
		charged[row[0]] = row[1]
	}
	for _, c := range k.emu.Books().Captured() {
		if c.Source != emulator.SourceAPI || c.Invoice == "" {
			continue
		}
		if state := charged[c.Invoice]; state != "credited" && state != "confirmed" {
			k.t.Errorf("payment %s of %s at %s is in the ledger as %q", c.Invoice, c.Customer, c.At, state)
		}
	}
}

// inReview checks that every purchase that waits for a person has a reason to:
// at Hyperline all its repeats are used up, at Talkover its answer is not known.
// It returns how many there are at Hyperline.
func (k *killing) inReview() (hyperline int) {
	k.t.Helper()
	for _, row := range k.rows(`SELECT id, provider_name, repeats, (SELECT count(*) FROM permit WHERE purchase_id = id AND used = 1) FROM purchase WHERE state = 'needs_review' ORDER BY id`) {
		id, provider, repeats, permits := row[0], row[1], row[2], row[3]
		var story []string
		known, never := false, false
		for _, e := range k.rows(`SELECT kind, to_state, text FROM evidence WHERE purchase_id = '` + id + `' ORDER BY n`) {
			story = append(story, fmt.Sprintf("%s → %s: %.160s", e[0], e[1], e[2]))
			known = known || e[0] == "answer" && (strings.HasPrefix(e[2], "accepted") || provider != "hyperline" && strings.HasPrefix(e[2], "rejected"))
			never = never || e[0] == "answer" && (strings.Contains(e[2], "417") || strings.Contains(e[2], "inv_"))
		}
		k.t.Logf("in review at %s: %s, %s permits, %s repeats\n    %s", provider, id, permits, repeats, strings.Join(story, "\n    "))
		if known {
			k.t.Errorf("purchase %s needs review although its answer was clear", id)
		}
		if provider != "hyperline" {
			continue
		}
		hyperline++
		if !never && (repeats != "3" || permits != "4") {
			k.t.Errorf("purchase %s needs review after %s requests and %s repeats, without a reason never to repeat it", id, permits, repeats)
		}
	}
	return hyperline
}

// states counts the purchases by provider and state.
func (k *killing) states() map[string]string {
	k.t.Helper()
	all := map[string]string{}
	for _, row := range k.rows(`SELECT CASE provider_name WHEN 'hyperline' THEN 'hyperline ' ELSE 'talkover ' END || state, count(*) FROM purchase GROUP BY 1`) {
		all[row[0]] = row[1]
	}
	return all
}
