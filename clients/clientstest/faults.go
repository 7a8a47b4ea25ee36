package clientstest

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"strings"

	"topupd/topup"
)

// Fault is one way in which a charge goes wrong after it was read.
type Fault struct {
	Name  string
	Serve Behaviour
	Want  topup.Verdict
}

// Faults lists what a server may do to a charge that it has read, and what that
// means at every provider. yes is a provider's documented success.
func Faults(status int, yes string) []Fault {
	head := head(status)
	whole := fmt.Sprintf("%sContent-Length: %d\r\n\r\n", head, len(yes))
	html := "<html><body>Sign in</body></html>"
	faults := []Fault{
		{"the connection is closed without an answer", Say(""), topup.Unknown},
		{"the connection is reset without an answer", Reset, topup.Unknown},
		{"no answer ever", Hang, topup.Unknown},
		{"half a status line", Say("HTTP/1.1 20"), topup.Unknown},
		{"no HTTP at all", Say("SSH-2.0-OpenSSH_9.7\r\n"), topup.Unknown},
		{"headers that do not end", Say(head + "X-A: b\r\n"), topup.Unknown},
		{"headers that never stop", endless(head), topup.Unknown},
		{"headers byte by byte", Drip("", head), topup.Unknown},
		{"a body byte by byte", Drip(fmt.Sprintf("%sContent-Length: %d\r\n\r\n", head, len(yes)+100_000), yes), topup.Unknown},
		{"headers without the promised body", Say(whole), topup.Unknown},
		{"a body cut short of its length", Say(whole + yes[:len(yes)/2]), topup.Unknown},
		{"a body cut without a length", Say(head + "Connection: close\r\n\r\n" + yes[:len(yes)/2]), topup.Unknown},
		{"a chunked body cut between chunks", Say(head + "Transfer-Encoding: chunked\r\n\r\n" + chunk(yes[:len(yes)/2])), topup.Unknown},
		{"a chunked body cut before its end", Say(head + "Transfer-Encoding: chunked\r\n\r\n" + chunk(yes)), topup.Unknown},
		{"an empty success", Say(head + "Content-Length: 0\r\n\r\n"), topup.Unknown},
		{"a success that is HTML", Say(head + "Connection: close\r\n\r\n" + html), topup.Unknown},
		{"a success that is null", Say(head + "Connection: close\r\n\r\nnull"), topup.Unknown},
		{"a success that is a list", Say(head + "Connection: close\r\n\r\n[" + yes + "]"), topup.Unknown},
		{"a success followed by another", Say(head + "Connection: close\r\n\r\n" + yes + yes), topup.Unknown},
		{"30 MB", flood(head), topup.Unknown},
	}
	faults = append(faults, compressed(head, yes)...)
	for _, redirect := range []int{301, 302, 303, 307, 308} {
		faults = append(faults, Fault{
			fmt.Sprintf("a redirect %d", redirect),
			Say(fmt.Sprintf("HTTP/1.1 %d Elsewhere\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", redirect)), topup.Unknown,
		})
	}
	for _, broken := range []int{500, 502, 503, 504} {
		faults = append(faults, Fault{
			fmt.Sprintf("a %d", broken),
			Say(fmt.Sprintf("HTTP/1.1 %d Broken\r\nContent-Length: %d\r\n\r\n%s", broken, len(html), html)), topup.Unknown,
		})
	}
	for _, refusal := range []int{400, 401, 402, 403, 404, 405, 407, 408, 409, 410, 413, 417, 422, 425, 451} {
		faults = append(faults, Fault{
			fmt.Sprintf("a %d that is not in the provider's words", refusal),
			Say(fmt.Sprintf("HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%s", refusal, len(html), html)), topup.Unknown,
		})
	}
	return faults
}

// compressed is what a gateway may do that compresses without being asked.
func compressed(head, yes string) []Fault {
	packed := Gzip(yes)
	say := func(encoding, body string) Behaviour {
		return Say(fmt.Sprintf("%s%sContent-Length: %d\r\n\r\n%s", head, encoding, len(body), body))
	}
	const told = "Content-Encoding: gzip\r\n"
	return []Fault{
		{"a compressed success", say(told, packed), topup.Accepted},
		{"a compressed success that does not say so", say("", packed), topup.Accepted},
		{"a success that says it is compressed and is not", say(told, yes), topup.Accepted},
		{"half a compressed success", say(told, packed[:len(packed)/2]), topup.Unknown},
		{"a compressed success without its checksum", say(told, packed[:len(packed)-4]), topup.Unknown},
		{"a compressed success with a wrong checksum", say(told, packed[:len(packed)-8]+"\x00\x01\x02\x03"+packed[len(packed)-4:]), topup.Unknown},
		{"a compressed success followed by another", say(told, packed+packed), topup.Unknown},
		{"a success compressed twice", say(told, Gzip(packed)), topup.Unknown},
		{"a success compressed as nobody knows", say("Content-Encoding: br\r\n", "\x0b\x02\x80"+yes+"\x03"), topup.Unknown},
		{"30 MB in 30 kB", say(told, Gzip(yes+strings.Repeat(" ", 30<<20))), topup.Unknown},
	}
}

// Gzip compresses a text.
func Gzip(text string) string {
	var b strings.Builder
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text) // memory takes everything
	_ = z.Close()
	return b.String()
}

func head(status int) string {
	return fmt.Sprintf("HTTP/1.1 %d Whatever\r\nContent-Type: application/json\r\n", status)
}

func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

func endless(head string) Behaviour {
	return func(_ *Wire, conn net.Conn, _ int) bool {
		_, err := io.WriteString(conn, head)
		line := "X-A: " + strings.Repeat("b", 1000) + "\r\n"
		for err == nil {
			_, err = io.WriteString(conn, line)
		}
		return false
	}
}

func flood(head string) Behaviour {
	return func(_ *Wire, conn net.Conn, _ int) bool {
		_, err := io.WriteString(conn, head+"Connection: close\r\n\r\n\"")
		megabyte := strings.Repeat("x", 1<<20)
		for i := 0; i < 30 && err == nil; i++ {
			_, err = io.WriteString(conn, megabyte)
		}
		_, _ = io.WriteString(conn, "\"")
		return false
	}
}
