package fuzztest

import (
	"os"
	"strings"
	"testing"
)

// broken is the variable under which the target below has a bug.
const broken = "TOPUPD_FUZZTEST_BROKEN"

func FuzzLength(f *testing.F) {
	f.Add("four")
	f.Fuzz(func(t *testing.T, text string) {
		if os.Getenv(broken) != "" && len(text) != 4 {
			t.Errorf("%q is not as long as the seed", text)
		}
	})
}

func TestFuzz(t *testing.T) { Briefly(t) }

// A bug that no seed shows is found, and the input that shows it is printed.
func TestWhatIsFoundIsPrinted(t *testing.T) {
	t.Setenv(broken, "1")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := run(t.Context(), program, t.TempDir(), t.TempDir(), "FuzzLength")
	if err == nil || !strings.Contains(err.Error(), "fuzzing FuzzLength") {
		t.Errorf("run = %v, want what failed", err)
	}
	for _, want := range []string{"is not as long as the seed", "testdata/fuzz/FuzzLength/", "go test fuzz v1"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}
