package sim

import (
	"testing"
)

// BenchmarkHistory is how fast histories are simulated: purchases per second of
// real time, on one core. Calm weather is the baseline of the others.
func BenchmarkHistory(b *testing.B) {
	for _, in := range []weather{calm, light, storm} {
		b.Run(string(in), func(b *testing.B) {
			planned := 0
			for n := range b.N {
				planned += judged(b, generate(uint64(n)+1, 100, in)).tally.planned
			}
			b.ReportMetric(float64(planned)/b.Elapsed().Seconds(), "purchases/s")
		})
	}
}

// judged is run for a benchmark, which synctest takes no bubble for: a test of
// its own makes it.
func judged(b *testing.B, h history) *judge {
	var j *judge
	ok := testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{
		{Name: "history", F: func(t *testing.T) { j = run(t, h, false) }},
	})
	if !ok || j == nil {
		b.Fatalf("seed %d did not run", h.Seed)
	}
	return j
}
