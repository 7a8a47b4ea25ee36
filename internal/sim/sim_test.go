package sim

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"
)

var (
	fromSeed  = flag.Uint64("sim.from", 1, "first seed")
	seeds     = flag.Int("sim.seeds", 4, "how many seeds")
	size      = flag.Int("sim.purchases", 60, "purchases per history, about")
	onlyIn    = flag.String("sim.weather", "", "calm, light or storm; empty = drawn")
	showTrace = flag.Bool("sim.trace", false, "print everything that happens")
	progress  = flag.Duration("sim.progress", 0, "print where it is this often; 0 = never")
	limit     = flag.Duration("sim.for", 0, "stop after so long, whatever the number of seeds; 0 = never")
	days      = flag.Int("sim.days", 1, "length of the calm time of TestACalmTime")
	keepOn    = flag.Bool("sim.all", false, "go on after a broken promise")
)

// TestHistories runs a fixed set of seeds, or those that the flags name. A
// history that breaks a promise is cut down to the events that matter and told.
func TestHistories(t *testing.T) {
	sums := map[weather]*tally{calm: {}, light: {}, storm: {}}
	start, told := time.Now(), time.Now()
	for seed := *fromSeed; seed < *fromSeed+uint64(*seeds) && (*limit == 0 || time.Since(start) < *limit); seed++ {
		h := generate(seed, *size, weather(*onlyIn))
		j := run(t, h, *showTrace)
		sums[h.Weather].add(j.tally)
		for _, l := range j.trace {
			fmt.Printf("%10s %-22s %s\n", l.at.Truncate(time.Millisecond), l.who, l.text)
		}
		if len(j.breaches) > 0 {
			broken(t, h, j)
			if !*keepOn {
				break
			}
		}
		if *progress > 0 && time.Since(told) > *progress {
			told = time.Now()
			fmt.Fprintf(os.Stderr, "sim: seed %d, %d purchases in %s\n", seed, total(sums).planned, time.Since(start).Round(time.Second))
		}
	}
	report(t, sums, time.Since(start))
}

func broken(t *testing.T, h history, j *judge) {
	promise := j.breaches[0].Promise
	cut := shrink(t, h, j.breaches[0], j.w.index[j.breaches[0].Customer], 100)
	story, events := tellStory(t, cut, promise)
	t.Errorf("%d promises broken, first %s\nsimulation seed %d: %s, %d events\n%s", len(j.breaches), j.breaches[0], h.Seed, promise, events, story)
}

func total(sums map[weather]*tally) (all tally) {
	for _, s := range sums {
		all.add(*s)
	}
	return all
}

func report(t *testing.T, sums map[weather]*tally, took time.Duration) {
	all := total(sums)
	t.Logf("%d histories, %s lived, %d steps, %d purchases (%d requests repeated) in %s: %.0f purchases/s",
		all.histories, all.lived.Round(time.Hour), all.steps, all.planned, all.repeats, took.Round(time.Second), float64(all.planned)/took.Seconds())
	for _, w := range []weather{calm, light, storm} {
		s := sums[w]
		if s.histories == 0 {
			continue
		}
		t.Logf("%-5s %5d histories, %s lived, %7d purchases, %d repeated: credited %d, declined %d, cancelled %d, confirmed %d; in_review Hyperline %d of %d, Talkover %d of %d; "+
			"Talkover unclear %d, of them charged %d, of them in_review %d; held as implausible %d; %d refunds, %d restores",
			w, s.histories, s.lived.Round(time.Hour), s.planned, s.repeats, s.credited, s.declined, s.cancelled, s.confirmed, s.hyperlineInReview, s.hyperline, s.talkoverInReview, s.talkover,
			s.unclearTalkover, s.unclearCharged, s.unclearPk, s.held, s.refunds, s.restores)
	}
}
