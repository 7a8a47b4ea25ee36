package doctor

import (
	"strconv"
	"strings"

	"topupd/config"
)

// rate reads the documented rate limit headers of the first answer, and how much
// of the budget others had used by then (Hyperline docs,
// /developers/rate-limiting; Talkover docs, introduction; read 2026-11-20).
func (e *examination) rate(configured config.Rate) {
	if e.first == nil {
		return
	}
	limit, okLimit := header(e, "X-RateLimit-Limit")
	left, okLeft := header(e, "X-RateLimit-Remaining")
	if !okLimit || !okLeft || limit < 1 {
		e.say("rate limit", Unknown, "", "no X-RateLimit-Limit and -Remaining that can be read; the configured %d in %s is taken for true", configured.Count, configured.Window)
		return
	}
	others := max(0, limit-left-1) // the one request was ours
	text := strconv.Itoa(others*100/limit) + " % of it used by others in this window"
	switch {
	case limit < configured.Count:
		e.say("rate limit", Warn, "lower rate_limit to what the provider says", "the provider allows %d, configured is %d; %s", limit, configured.Count, text)
	case others*100 > limit*(100-e.Provider.RateLimit.SharePercent):
		e.say("rate limit", Warn, "lower rate_limit.share, or find out who asks so much", "%d allowed; %s, more than the share leaves them", limit, text)
	default:
		e.say("rate limit", OK, "", "%d allowed; %s", limit, text)
	}
}

func header(e *examination, name string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimSpace(e.first.Header.Get(name)))
	return n, err == nil
}
