package emulator

import (
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"
)

// answer is a response before it is sent, and what befalls it on the way.
type answer struct {
	status int
	header http.Header
	body   []byte
	mishap mishap
}

// mishap is what happens to an answer between provider and client.
type mishap int

const (
	delivered mishap = iota
	dropped          // connection cut, no byte of the answer sent
	hung             // nothing sent until the client gives up
	truncated        // whole Content-Length, half the body
)

const (
	jsonType  = "application/json; charset=utf-8"
	textType  = "text/plain; charset=utf-8"
	htmlType  = "text/html; charset=utf-8"
	proxyPage = "<!doctype html><html><head><title>Please wait</title></head><body><h1>We will be right back</h1></body></html>\n"
)

// maxBody bounds what is read of a request, in bytes.
const maxBody = 1 << 20

func jsonAnswer(status int, body any) answer {
	text, err := json.Marshal(body)
	if err != nil { // only a type of ours that cannot be written
		return plainAnswer(http.StatusInternalServerError, textType, err.Error())
	}
	return answer{status: status, header: http.Header{"Content-Type": {jsonType}}, body: text}
}

func plainAnswer(status int, contentType, body string) answer {
	return answer{status: status, header: http.Header{"Content-Type": {contentType}}, body: []byte(body)}
}

func (a answer) with(m mishap) answer {
	a.mishap = m
	return a
}

// spoil turns the answer into what a delivery fault leaves of it.
func (a answer) spoil(fault string, serverError func() answer) answer {
	switch fault {
	case "charge_then_500", "fail_without_charging_500", "read_500":
		return serverError()
	case "charge_then_hang", "hang_without_charging", "read_hang":
		return a.with(hung)
	case "charge_then_drop", "drop_without_charging", "execute_late":
		return a.with(dropped)
	case "charge_then_truncate", "read_truncate":
		return a.with(truncated)
	case "charge_then_html", "read_html":
		return plainAnswer(http.StatusOK, htmlType, proxyPage)
	default:
		return a
	}
}

// send writes the answer and returns the status that left, 0 for none. date is
// the provider's clock, which both providers' clients compare with theirs.
func (w *world) send(rw http.ResponseWriter, r *http.Request, a answer, date time.Time, hangFor time.Duration) int {
	switch a.mishap {
	case hung:
		w.hang(r, hangFor)
		cut(rw)
		return 0
	case dropped:
		cut(rw)
		return 0
	case delivered, truncated:
	}
	header := rw.Header()
	maps.Copy(header, a.header)
	header.Set("Date", date.UTC().Format(http.TimeFormat))
	header.Set("Content-Length", strconv.Itoa(len(a.body)))
	rw.WriteHeader(a.status)
	body := a.body
	if a.mishap == truncated {
		body = body[:len(body)/2]
	}
	if _, err := rw.Write(body); err != nil {
		w.log.Debug("answer not delivered", slog.Any("err", err))
	}
	return a.status
}

// hang waits until the client gives up, the emulator stops, or limit is over.
func (w *world) hang(r *http.Request, limit time.Duration) {
	var over <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-r.Context().Done():
	case <-w.released:
	case <-over:
	}
}

// wait is the provider's own slowness: a client that leaves does not shorten it.
func (w *world) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.released:
	}
}

// cut closes the connection under the response. Where that is impossible (no
// real connection) the nearest thing is a gateway error.
func cut(rw http.ResponseWriter) {
	conn, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset, as of a crashed server
	}
	_ = conn.Close()
}

// readBody reads a request's body whole: only then does the server notice that
// the client is gone.
func readBody(r *http.Request) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r.Body, maxBody))
}
