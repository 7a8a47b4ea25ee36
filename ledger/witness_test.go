package ledger

import "testing"

func TestWhetherEveryStandbyHasACommit(t *testing.T) {
	t.Parallel()
	for names, want := range map[string]bool{
		"": false, " ": false, "*": false, "FIRST 1 (*)": false,
		"s1": true, "s1, s2": false, `"s-1"`: true,
		"ANY 1 (s1)": true, "any 1 (s1, s2)": false, "ANY 2 (s1, s2)": true, "ANY 2 (s1,s2,s3)": false,
		"FIRST 2 (s1, s2)": true, "first 1 (s1,s2)": false, "2 (s1, s2)": true, "1 (s1, s2)": false, " ANY  1 ( s1 ) ": true,
	} {
		if got := (place{Standbys: names}).everyStandby(); got != want {
			t.Errorf("%q: every standby %t, want %t", names, got, want)
		}
	}
}
