package emulator

import (
	"bytes"
	"compress/gzip"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// gatewayRates are what a gateway on the way does to any answer.
var gatewayRates = []rate{{"gzip", func(f *Faults) *float64 { return &f.Gzip }}}

// kept is an answer that a cache on the way replays.
type kept struct {
	answer answer
	at     time.Time
}

// maxKept bounds the cache on the way.
const maxKept = 1000

// through answers a request as a gateway before the provider does. It compresses
// what nobody asked it to, and for Faults.CacheFor it replays the good answers of
// reads, with their Age, whatever the client says about caches. date is the
// provider's clock when the answer was made.
func (w *world) through(provider string, r *http.Request, now time.Time, ask func() answer) (a answer, date time.Time) {
	if w.faults.CacheFor == 0 || r.Method != http.MethodGet || w.faults.Provider != "" && w.faults.Provider != provider {
		return w.squeezed(provider, ask()), now
	}
	key := r.Header.Get("Authorization") + " " + r.URL.String()
	k, ok := w.cache[key]
	if age := now.Sub(k.at); ok && age < w.faults.CacheFor {
		a = k.answer
		a.header = maps.Clone(a.header)
		a.header.Set("Age", strconv.Itoa(int(age/time.Second)))
		return w.squeezed(provider, a), k.at
	}
	a = ask()
	if a.status == http.StatusOK && a.mishap == delivered {
		if len(w.cache) >= maxKept || w.cache == nil {
			w.cache = map[string]kept{}
		}
		w.cache[key] = kept{answer: a, at: now}
	}
	return w.squeezed(provider, a), now
}

// squeezed compresses the answer if chance says so.
func (w *world) squeezed(provider string, a answer) answer {
	if w.faults.Gzip == 0 && !slices.Contains(w.faults.Next, gatewayRates[0].name) {
		return a // without a draw: a seed makes the same world with and without a gateway
	}
	if w.faults.draw(w.rng, provider, gatewayRates) == "" || a.status == 0 {
		return a
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(a.body) // memory takes everything
	_ = z.Close()
	if a.header = maps.Clone(a.header); a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set("Content-Encoding", "gzip")
	a.body = packed.Bytes()
	return a
}
