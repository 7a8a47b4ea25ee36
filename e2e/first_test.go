package e2e

import (
	"strings"
	"testing"
)

// TestFirstStepsBeforeTheFirstStart: check, doctor and plan work on a database in
// which nothing has been stored yet, and store nothing.
func TestFirstStepsBeforeTheFirstStart(t *testing.T) {
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, database(t), quiet(3, 50), brisk())
			for range 2 { // the first leaves it as it was
				p.succeeds("check")
				if said := p.succeeds("doctor"); !strings.Contains(said, "hyperline") {
					t.Errorf("doctor says %s", said)
				}
				if said := p.succeeds("plan"); !strings.Contains(said, "There is no ledger yet") {
					t.Errorf("plan says %s", said)
				}
			}
			if n := p.asked(); n != 0 {
				t.Errorf("%d purchases were asked for", n)
			}
		})
	}
}
