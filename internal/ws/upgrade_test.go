package ws

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const sampleKey = "dGhlIHNhbXBsZSBub25jZQ==" // of RFC 6455, section 1.3

// request parses a head as net/http does. lines replace or add to those of a
// good handshake: "Name: value" replaces every line of that name, "+Name: value"
// adds one, "-Name" removes it.
func request(t testing.TB, start string, lines ...string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head(start, []string{
		"Host: chat.example.com", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + sampleKey,
	}, lines))))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func head(start string, good, changes []string) string {
	for _, line := range changes {
		name, _, _ := strings.Cut(strings.TrimLeft(line, "+-"), ":")
		if line[0] != '+' {
			good = slices.DeleteFunc(slices.Clone(good), func(s string) bool {
				return strings.HasPrefix(strings.ToLower(s), strings.ToLower(name)+":")
			})
		}
		if line[0] != '-' {
			good = append(good, strings.TrimPrefix(line, "+"))
		}
	}
	return start + "\r\n" + strings.Join(good, "\r\n") + "\r\n\r\n"
}

func TestCheckUpgrade_SR09_SR80_SR81(t *testing.T) {
	const get = "GET /ws?a=b HTTP/1.1"
	tokens := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("p%d", i))
		}
		return strings.Join(list, ", ")
	}
	for _, row := range []struct {
		name      string
		start     string
		lines     []string
		want      string   // status and code; empty: accepted
		protocols []string // when accepted
	}{
		{name: "the handshake of the RFC"},
		{name: "a browser's handshake", lines: []string{"+Origin: https://app.example.com", "+User-Agent: x", "+Pragma: no-cache",
			"+Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", "Connection: keep-alive, Upgrade"}},

		{name: "SR-09 no version", lines: []string{"-Sec-WebSocket-Version"}, want: "426 version"},
		{name: "SR-09 version 0", lines: []string{"Sec-WebSocket-Version: 0"}, want: "426 version"},
		{name: "SR-09 version 7", lines: []string{"Sec-WebSocket-Version: 7"}, want: "426 version"},
		{name: "SR-09 version 8", lines: []string{"Sec-WebSocket-Version: 8"}, want: "426 version"},
		{name: "SR-09 version 12", lines: []string{"Sec-WebSocket-Version: 12"}, want: "426 version"},
		{name: "SR-09 version 14", lines: []string{"Sec-WebSocket-Version: 14"}, want: "426 version"},
		{name: "SR-09 versions 13 and 8", lines: []string{"Sec-WebSocket-Version: 13, 8"}, want: "426 version"},
		{name: "SR-09 version 13 twice", lines: []string{"+Sec-WebSocket-Version: 13"}, want: "426 version"},
		{name: "SR-09 version 013", lines: []string{"Sec-WebSocket-Version: 013"}, want: "426 version"},
		{name: "SR-09 version +13", lines: []string{"Sec-WebSocket-Version: +13"}, want: "426 version"},
		{name: "SR-09 version with a quoted 13", lines: []string{`Sec-WebSocket-Version: "13"`}, want: "426 version"},
		{name: "SR-09 hixie-76", lines: []string{"-Sec-WebSocket-Version", "-Sec-WebSocket-Key", "Upgrade: WebSocket", "+Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5",
			"+Sec-WebSocket-Key2: 12998 5 Y3 1  .P00"}, want: "426 version"},

		{name: "SR-80 no Upgrade", lines: []string{"-Upgrade"}, want: "426 upgrade"},
		{name: "SR-80 h2c", lines: []string{"Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "+HTTP2-Settings: AAMAAABkAAQAAP__"}, want: "400 upgrade"},
		{name: "SR-80 TLS/1.0", lines: []string{"Upgrade: TLS/1.0"}, want: "400 upgrade"},
		{name: "SR-80 websocket and h2c", lines: []string{"Upgrade: websocket, h2c"}, want: "400 upgrade"},
		{name: "SR-80 h2c and websocket", lines: []string{"Upgrade: h2c, websocket"}, want: "400 upgrade"},
		{name: "SR-80 websocket and h2c on two lines", lines: []string{"+Upgrade: h2c"}, want: "400 upgrade"},
		{name: "SR-80 websocket twice", lines: []string{"+Upgrade: websocket"}, want: "400 upgrade"},
		{name: "SR-80 websocket with a comma", lines: []string{"Upgrade: websocket,"}, want: "400 upgrade"},
		{name: "SR-80 websocket with a version", lines: []string{"Upgrade: websocket/13"}, want: "400 upgrade"},
		{name: "SR-80 a quoted websocket", lines: []string{`Upgrade: "websocket"`}, want: "400 upgrade"},
		{name: "SR-80 websockets", lines: []string{"Upgrade: websockets"}, want: "400 upgrade"},
		{name: "SR-80 an empty Upgrade", lines: []string{"Upgrade: "}, want: "400 upgrade"},
		{name: "AT-22 websocket in odd case", lines: []string{"Upgrade: WebSocket"}},
		{name: "AT-22 websocket with a long s, which folds to an s in Unicode", lines: []string{"Upgrade: web\u017focket"}, want: "400 upgrade"},
		{name: "AT-22 upgrade with a Kelvin sign elsewhere", lines: []string{"Upgrade: websoc\u212aet"}, want: "400 upgrade"},

		{name: "AT-22 keep-alive, Upgrade", lines: []string{"Connection: keep-alive, Upgrade"}},
		{name: "AT-22 upgrade in odd case", lines: []string{"Connection: uPgRaDe"}},
		{name: "AT-22 tabs", lines: []string{"Connection: keep-alive\t,\t upgrade\t"}},
		{name: "AT-22 several lines", lines: []string{"Connection: keep-alive", "+Connection: Upgrade"}},
		{name: "AT-22 empty members of the list", lines: []string{"Connection: ,, upgrade ,"}},
		{name: "AT-22 no Connection", lines: []string{"-Connection"}, want: "400 connection"},
		{name: "AT-22 close alone", lines: []string{"Connection: close"}, want: "400 connection"},
		{name: "AT-22 upgraded", lines: []string{"Connection: upgraded"}, want: "400 connection"},
		{name: "AT-22 upgrade inside a token", lines: []string{"Connection: no-upgrade"}, want: "400 connection"},
		{name: "AT-22 separated by a space", lines: []string{"Connection: keep-alive upgrade"}, want: "400 connection"},
		{name: "AT-22 separated by a semicolon", lines: []string{"Connection: keep-alive; upgrade"}, want: "400 connection"},
		{name: "AT-22 a quoted upgrade", lines: []string{`Connection: "upgrade"`}, want: "400 connection"},
		{name: "AT-22 a member that is no token next to upgrade", lines: []string{`Connection: upgrade, "x`}, want: "400 connection"},

		{name: "SR-81 a body with a length", lines: []string{"+Content-Length: 5"}, want: "400 body"},
		{name: "SR-81 a length of 0 is no body", lines: []string{"+Content-Length: 0"}},
		{name: "SR-81 a chunked body", lines: []string{"+Transfer-Encoding: chunked"}, want: "400 body"},
		{name: "SR-81 Expect", lines: []string{"+Expect: 100-continue"}, want: "400 body"},
		{name: "SR-81 any Expect", lines: []string{"+Expect: something"}, want: "400 body"},

		{name: "HTTP/1.0", start: "GET /ws HTTP/1.0", want: "505 proto"},
		{name: "POST", start: "POST /ws HTTP/1.1", want: "405 method"},
		{name: "HEAD", start: "HEAD /ws HTTP/1.1", want: "405 method"},
		{name: "get in lower case", start: "get /ws HTTP/1.1", want: "405 method"},
		{name: "CONNECT", start: "CONNECT chat.example.com:443 HTTP/1.1", want: "405 method"},

		{name: "no key", lines: []string{"-Sec-WebSocket-Key"}, want: "400 key"},
		{name: "the key twice", lines: []string{"+Sec-WebSocket-Key: " + sampleKey}, want: "400 key"},
		{name: "two keys in a list", lines: []string{"Sec-WebSocket-Key: " + sampleKey + ", " + sampleKey}, want: "400 key"},
		{name: "an empty key", lines: []string{"Sec-WebSocket-Key: "}, want: "400 key"},
		{name: "a key of 15 bytes", lines: []string{"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"}, want: "400 key"},
		{name: "a key of 17 bytes", lines: []string{"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="}, want: "400 key"},
		{name: "a key without padding", lines: []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"}, want: "400 key"},
		{name: "a key in the URL alphabet", lines: []string{"Sec-WebSocket-Key: __-_AAAAAAAAAAAAAAAAAA=="}, want: "400 key"},
		{name: "a key with bits in its padding", lines: []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="}, want: "400 key"},
		{name: "a key that is no base64", lines: []string{"Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="}, want: "400 key"},

		{name: "one subprotocol", lines: []string{"+Sec-WebSocket-Protocol: chat"}, protocols: []string{"chat"}},
		{name: "two subprotocols, in the client's order", lines: []string{"+Sec-WebSocket-Protocol: superchat, chat"}, protocols: []string{"superchat", "chat"}},
		{name: "subprotocols on two lines with tabs", lines: []string{"+Sec-WebSocket-Protocol: b\t,a", "+Sec-WebSocket-Protocol: c"}, protocols: []string{"b", "a", "c"}},
		{name: "subprotocols that differ in case", lines: []string{"+Sec-WebSocket-Protocol: chat, Chat"}, protocols: []string{"chat", "Chat"}},
		{name: "a ticket", lines: []string{"+Sec-WebSocket-Protocol: sallyport.v1~chat, sallyport.ticket.AZ-_09"}, protocols: []string{"sallyport.v1~chat", "sallyport.ticket.AZ-_09"}},
		{name: "a subprotocol twice", lines: []string{"+Sec-WebSocket-Protocol: chat, other, chat"}, want: "400 protocols"},
		{name: "a subprotocol twice on two lines", lines: []string{"+Sec-WebSocket-Protocol: chat", "+Sec-WebSocket-Protocol: chat"}, want: "400 protocols"},
		{name: "an empty subprotocol", lines: []string{"+Sec-WebSocket-Protocol: "}, want: "400 protocols"},
		{name: "an empty member", lines: []string{"+Sec-WebSocket-Protocol: a,,b"}, want: "400 protocols"},
		{name: "a subprotocol with a space", lines: []string{"+Sec-WebSocket-Protocol: a b"}, want: "400 protocols"},
		{name: "a subprotocol with a slash", lines: []string{"+Sec-WebSocket-Protocol: a/b"}, want: "400 protocols"},
		{name: "a quoted subprotocol", lines: []string{`+Sec-WebSocket-Protocol: "a"`}, want: "400 protocols"},
		{name: "a subprotocol beyond ASCII", lines: []string{"+Sec-WebSocket-Protocol: é"}, want: "400 protocols"},
		{name: "AT-21 64 subprotocols", lines: []string{"+Sec-WebSocket-Protocol: " + tokens(64)}, protocols: strings.Split(tokens(64), ", ")},
		{name: "AT-21 65 subprotocols", lines: []string{"+Sec-WebSocket-Protocol: " + tokens(65)}, want: "400 protocols"},
		{name: "AT-21 a subprotocol of 8 KiB", lines: []string{"+Sec-WebSocket-Protocol: " + strings.Repeat("p", 8<<10)}, want: "431 protocols"},
		{name: "AT-21 extensions of 8 KiB", lines: []string{"+Sec-WebSocket-Extensions: " + strings.Repeat(`x;y="\,`, 1200)}, want: "431 extensions"},
		{name: "AT-21 extensions with hostile syntax are not read", lines: []string{"+Sec-WebSocket-Extensions: " + strings.Repeat(`x;y="\,`, 1000)}},
		{name: "AT-21 a Connection of 9 KiB", lines: []string{"+Connection: " + strings.Repeat("x,", 4500)}, want: "400 connection"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.start == "" {
				row.start = get
			}
			r := request(t, row.start, row.lines...)
			offer, err := CheckUpgrade(r)
			if got := verdict(t, err); got != row.want {
				t.Fatalf("got %q, want %q", got, row.want)
			}
			if err == nil && (offer.Key != sampleKey || !slices.Equal(offer.Protocols, row.protocols)) {
				t.Errorf("got %+v", offer)
			}
			if row.want == "" && !IsUpgrade(r) {
				t.Error("an accepted handshake is no upgrade")
			}
		})
	}
}

// verdict is the status and code of a *Fault.
func verdict(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var f *Fault
	if !errors.As(err, &f) || f.Why == "" {
		t.Fatalf("error %v is a %T", err, err)
	}
	return fmt.Sprintf("%d %s", f.Status, f.Code)
}

// What net/http or a caller may leave in a request that did not come through a
// head parser is judged as well.
func TestCheckUpgradeOfBuiltRequests_SR81(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*http.Request)
		want   string
	}{
		{"a body of unknown length", func(r *http.Request) { r.ContentLength = -1 }, "400 body"},
		{"a raw Transfer-Encoding", func(r *http.Request) { r.Header.Set("Transfer-Encoding", "identity") }, "400 body"},
		{"a raw Content-Length in odd form", func(r *http.Request) { r.Header.Set("Content-Length", "00") }, "400 body"},
		{"two lengths", func(r *http.Request) { r.Header["Content-Length"] = []string{"0", "7"} }, "400 body"},
		{"trailers", func(r *http.Request) { r.Trailer = http.Header{"X": nil} }, "400 body"},
		{"HTTP/2", func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, "505 proto"},
		{"HTTP/1.2", func(r *http.Request) { r.ProtoMinor = 2 }, "505 proto"},
		{"a key with line breaks", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25\r\nZQ==") }, "400 key"},
		{"a subprotocol with a line break", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Protocol", "a\r\nb") }, "400 protocols"},
		{"no headers", func(r *http.Request) { r.Header = nil }, "426 upgrade"},
	} {
		r := request(t, "GET / HTTP/1.1")
		row.change(r)
		if _, err := CheckUpgrade(r); verdict(t, err) != row.want {
			t.Errorf("%s: got %v, want %s", row.name, err, row.want)
		}
	}
}

func TestIsUpgrade_SR80_AT22(t *testing.T) {
	for _, row := range []struct {
		name  string
		lines []string
		want  bool
	}{
		{"a plain request", []string{"-Upgrade", "-Connection"}, false},
		{"a plain request that keeps alive", []string{"-Upgrade", "Connection: keep-alive"}, false},
		{"leftover Sec-WebSocket headers", []string{"-Upgrade", "Connection: close"}, false},
		{"h2c", []string{"Upgrade: h2c"}, true},
		{"an empty Upgrade", []string{"Upgrade: "}, true},
		{"Upgrade without Connection", []string{"-Connection"}, true},
		{"Connection without Upgrade", []string{"-Upgrade"}, true},
		{"Connection in odd form without Upgrade", []string{"-Upgrade", "Connection: close,\tUPGRADE ,x"}, true},
	} {
		if got := IsUpgrade(request(t, "GET / HTTP/1.1", row.lines...)); got != row.want {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
	r := request(t, "CONNECT a:1 HTTP/1.1", "-Upgrade", "-Connection")
	r.Header[":protocol"] = []string{"websocket"}
	if !IsUpgrade(r) {
		t.Error("an extended CONNECT is no upgrade")
	}
}

// The work for a hostile list is bounded: what is over 8 KiB is not split, and
// what is below costs allocations by its members, at most 65.
func TestHeaderBombsAreLinear_AT21(t *testing.T) {
	allocated := func(r *http.Request) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		CheckUpgrade(r)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	for _, name := range []string{hProtocol, hExtensions, hConnection, hUpgrade, hKey, hVersion} {
		for _, pattern := range []string{"a,", ",", `"`, `\"`, ";", "a;b=\"", " ", "\t,", "a b,", "=", "a", "\x00", "é"} {
			for _, size := range []int{1 << 10, 8 << 10, 16 << 10, 1 << 20} {
				r := request(t, "GET / HTTP/1.1")
				r.Header[name] = []string{strings.Repeat(pattern, size/len(pattern))}
				if got := allocated(r); got > 32<<10 {
					t.Errorf("%s: %q of %d bytes costs %d bytes", name, pattern, size, got)
				}
				r.Header[name] = slices.Repeat([]string{pattern}, size/len(pattern))
				if got := allocated(r); got > 32<<10 {
					t.Errorf("%s: lines of %q of %d bytes cost %d bytes", name, pattern, size, got)
				}
			}
		}
	}
}

func TestAcceptKey(t *testing.T) {
	if got := AcceptKey(sampleKey); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("the key of the RFC gives %s", got)
	}
}

func TestAppendResponse(t *testing.T) {
	offer := Offer{Key: sampleKey, Protocols: []string{"chat", "a\r\nb"}}
	const start = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	for _, row := range []struct {
		name, protocol string
		h              http.Header
		want           string
	}{
		{name: "nothing more", want: start + "\r\n"},
		{name: "a subprotocol", protocol: "chat", want: start + "Sec-WebSocket-Protocol: chat\r\n\r\n"},
		{name: "a subprotocol that was not offered", protocol: "other", want: start + "\r\n"},
		{name: "a subprotocol with a line break", protocol: "a\r\nb", want: start + "\r\n"},
		{name: "headers, sorted", h: http.Header{"X-B": {"2", "3"}, "A": {"1"}}, want: start + "A: 1\r\nX-B: 2\r\nX-B: 3\r\n\r\n"},
		{name: "values with CR, LF, NUL", h: http.Header{"A": {"x\r\nSet-Cookie: evil=1", "x\ny", "x\ry", "x\x00y", "\x7f", "fine"}}, want: start + "A: fine\r\n\r\n"},
		{name: "names that are no tokens", h: http.Header{"A b": {"1"}, "": {"1"}, "A\r\nB": {"1"}, "A:": {"1"}}, want: start + "\r\n"},
		{name: "what the handshake writes itself", h: http.Header{"Connection": {"close"}, "Upgrade": {"h2c"}, "upgrade": {"h2c"}, "Sec-WebSocket-Extensions": {"permessage-deflate"},
			"Sec-Websocket-Accept": {"x"}, "Content-Length": {"5"}, "transfer-encoding": {"chunked"}}, want: start + "\r\n"},
	} {
		before := []byte("kept")
		got := AppendResponse(before, offer, row.protocol, row.h)
		if string(got) != "kept"+row.want {
			t.Errorf("%s: got %q", row.name, got)
		}
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got[4:])), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CheckResponse(r, sampleKey, offer.Protocols); err != nil {
			t.Errorf("%s: our client refuses it: %v", row.name, err)
		}
	}
}
