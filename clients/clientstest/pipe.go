package clientstest

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"

	"topupd/topup"
)

// Pipe is a provider in memory that answers every request with the same bytes,
// whatever they are, and then closes. It is how fuzzing gets through the whole
// way from the wire to the verdict.
type Pipe struct {
	Answer []byte
}

// Dial opens a connection to the provider; it is a clients.Options.Dial.
func (p Pipe) Dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		request, err := http.ReadRequest(bufio.NewReader(server))
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return
		}
		_, _ = server.Write(p.Answer) // the client may have heard enough
	}()
	return client, nil
}

// Purchase connects and sends the order once.
func (p Pipe) Purchase(t *testing.T, provider topup.Provider, o topup.Order) topup.Answer {
	t.Helper()
	request, err := provider.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	sender, err := provider.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	return sender.Send(t.Context(), request, Key)
}

// Whole is the final answer in the bytes, read by net/http alone; ok is false
// when they do not hold one with a whole body.
func (p Pipe) Whole() (status int, body []byte, ok bool) {
	r := bufio.NewReader(bytes.NewReader(p.Answer))
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
		if err != nil {
			return 0, nil, false
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp.StatusCode, body, err == nil
		}
	}
}

// Wires are answers to begin fuzzing with: the provider's documented success and
// what may become of it on the way.
func Wires(status int, yes, token string) [][]byte {
	var all [][]byte
	for _, f := range []string{
		head(status) + "Content-Length: " + strconv.Itoa(len(yes)) + "\r\n\r\n" + yes,
		head(status) + "Content-Length: " + strconv.Itoa(len(yes)+1) + "\r\n\r\n" + yes,
		head(status) + "Transfer-Encoding: chunked\r\n\r\n" + chunk(yes) + "0\r\n\r\n",
		head(status) + "Transfer-Encoding: chunked\r\n\r\n" + chunk(yes),
		head(status) + "Connection: close\r\n\r\n" + yes,
		head(status) + "Connection: close\r\n\r\n" + yes[:len(yes)-1],
		"HTTP/1.1 100 Continue\r\n\r\n" + head(status) + "Connection: close\r\n\r\n" + yes,
		head(429) + "Retry-After: 5\r\nConnection: close\r\n\r\n{\"message\":\"Too many requests\"}",
		head(402) + "Connection: close\r\n\r\n{\"success\":false,\"message\":\"" + token + "\",\"code\":\"PAYMENT_FAILED\"}",
		head(401) + "Connection: close\r\n\r\n{\"message\":\"unknown token " + token + "\"}",
		head(307) + "Location: /elsewhere\r\nContent-Length: 0\r\n\r\n",
		head(502) + "Connection: close\r\n\r\n<html>" + token + "</html>",
		"HTTP/1.1 " + token + "\r\n\r\n",
		"HTTP/1.0 " + strconv.Itoa(status) + " OK\r\n\r\n" + yes,
	} {
		all = append(all, []byte(f))
	}
	return all
}
