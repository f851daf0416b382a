package ws

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// FuzzParserServer, FuzzParserClient and FuzzParserKeeps, which keeps masks, hold the
// parser to the oracle in random splits, and what it accepted to a second life:
// written again and read again, the messages are the same.
func FuzzParserServer(f *testing.F) { fuzzParser(f, Server, false) } // SR-50, AT-42
func FuzzParserClient(f *testing.F) { fuzzParser(f, Client, false) } // SR-50, AT-42
func FuzzParserKeeps(f *testing.F)  { fuzzParser(f, Server, true) }  // SR-50, AT-42

func fuzzParser(f *testing.F, role Role, keep bool) {
	for _, row := range verdicts {
		if len(row.stream) < 300 {
			f.Add(row.stream, []byte{3, 1, 200}, uint16(max(row.l.message, 0)), int8(row.l.fragments))
		}
	}
	for _, s := range texts {
		f.Add(frame(role == Server, 0x81, s), []byte{byte(len(s))}, uint16(0), int8(0))
	}
	f.Add(u(0x01, "a", 0x89, "p", 0x80, "b", 0x88, "\x03\xe8bye"), []byte{1, 1, 1, 1}, uint16(9), int8(2))
	f.Fuzz(func(t *testing.T, stream, steps []byte, most uint16, fragments int8) {
		l := limits{role, int64(most), int(fragments), keep}
		want := oracle(l, stream)
		if got := transcribe(t, l, stream); !slices.Equal(got, want) {
			t.Fatalf("got %q, the oracle says %q", got, want)
		}
		var cuts, all []int
		at := 0
		for _, s := range steps {
			if at += int(s); at > len(stream) {
				break
			}
			cuts = append(cuts, at)
		}
		if got := transcribe(t, l, stream, cuts...); !slices.Equal(got, want) {
			t.Fatalf("cut at %v: got %q, want %q", cuts, got, want)
		}
		for i := range stream {
			all = append(all, i)
		}
		if got := transcribe(t, l, stream, all...); !slices.Equal(got, want) {
			t.Fatalf("byte by byte: got %q, want %q", got, want)
		}
		again := rewrite(Client-role, want) // with other masks, if any
		want = slices.DeleteFunc(want, func(s string) bool { return strings.HasPrefix(s, "fault") })
		if got := transcribe(t, l, again); !slices.Equal(got, want) {
			t.Fatalf("written again: got %q, want %q", got, want)
		}
	})
}

// rewrite writes the lines of a transcript as frames.
func rewrite(role Role, lines []string) (b []byte) {
	for _, line := range lines {
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "fault":
		case "close":
			code, quoted, _ := strings.Cut(rest, " ")
			n, _ := strconv.Atoi(code)
			reason, _ := strconv.Unquote(quoted)
			b = AppendClose(b, role, uint16(n), reason)
		default:
			op, _ := strconv.Atoi(kind)
			payload, _ := strconv.Unquote(rest)
			b = AppendFrame(b, role, true, Opcode(op), []byte(payload))
		}
	}
	return b
}

// FuzzCheckUpgrade: what is accepted fulfils every rule, read a second way, and
// our answer to it is one that our client accepts.
func FuzzCheckUpgrade(f *testing.F) {
	good := []string{"Host: a", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + sampleKey}
	for _, changes := range [][]string{
		nil, {"Connection: keep-alive,\tUPGRADE"}, {"+Sec-WebSocket-Protocol: a, b", "+Sec-WebSocket-Protocol: c"}, {"Upgrade: h2c, websocket"},
		{"+Content-Length: 0"}, {"+Content-Length: 1"}, {"+Transfer-Encoding: chunked"}, {"+Expect: 100-continue"}, {"Sec-WebSocket-Version: 8"},
		{"+Sec-WebSocket-Key: x"}, {"-Upgrade"}, {"+Sec-WebSocket-Extensions: permessage-deflate; x=\"\\\"\""}, {"Upgrade: web\u017focket"},
	} {
		f.Add([]byte(head("GET /ws HTTP/1.1", good, changes)))
	}
	f.Add([]byte("GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		offer, err := CheckUpgrade(r)
		if err != nil {
			var fault *Fault
			if !errors.As(err, &fault) || fault.Status < 400 || fault.Status > 505 || fault.Code == "" || fault.Why == "" {
				t.Fatalf("error %v is a %T", err, err)
			}
			return
		}
		body, _ := io.ReadAll(r.Body)
		connection := strings.ToLower(strings.Join(r.Header["Connection"], ","))
		switch {
		case r.Method != "GET", r.Proto != "HTTP/1.1", len(body) > 0, !IsUpgrade(r),
			strings.Join(r.Header["Sec-Websocket-Version"], ",") != "13",
			strings.Join(r.Header["Sec-Websocket-Key"], ",") != offer.Key, len(offer.Key) != 24,
			!isASCII(r.Header.Get("Upgrade")), len(r.Header["Upgrade"]) != 1, strings.ToLower(r.Header.Get("Upgrade")) != "websocket",
			!strings.Contains(connection, "upgrade"), r.Header.Get("Expect") != "", len(r.TransferEncoding) > 0:
			t.Fatalf("accepted %q", raw)
		}
		if want := len(r.Header["Sec-Websocket-Protocol"]) > 0; want != (len(offer.Protocols) > 0) || len(offer.Protocols) > MaxProtocols {
			t.Fatalf("%q offers %q", r.Header["Sec-Websocket-Protocol"], offer.Protocols)
		}
		protocol := ""
		for i, p := range offer.Protocols {
			if protocol = p; p == "" || strings.ContainsAny(p, " ,;\"\t\r\n\x00") || slices.Contains(offer.Protocols[:i], p) {
				t.Fatalf("offer %q", offer.Protocols)
			}
		}
		answer := AppendResponse(nil, offer, protocol, r.Header)
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
		if err != nil {
			t.Fatalf("answer %q: %v", answer, err)
		}
		if got, err := CheckResponse(resp, offer.Key, offer.Protocols); err != nil || got != protocol {
			t.Fatalf("answer %q: %q, %v", answer, got, err)
		}
		// And what we ask ourselves, with the same parts, is what we accept.
		if ask, err := AppendRequest(nil, "GET", "/", "a", offer.Key, offer.Protocols, http.Header{"Origin": r.Header["Origin"]}); err == nil {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(ask)))
			if err != nil {
				t.Fatalf("request %q: %v", ask, err)
			}
			if again, err := CheckUpgrade(r); err != nil || again.Key != offer.Key || !slices.Equal(again.Protocols, offer.Protocols) {
				t.Fatalf("request %q: %+v, %v", ask, again, err)
			}
		}
	})
}

// FuzzCheckResponse: what is accepted is a 101 with the one right accept value
// and nothing that was not offered.
func FuzzCheckResponse(f *testing.F) {
	good := []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: " + AcceptKey(sampleKey)}
	for _, changes := range [][]string{nil, {"+Sec-WebSocket-Protocol: chat"}, {"+Sec-WebSocket-Protocol: chat, v2"}, {"+Sec-WebSocket-Extensions: x"},
		{"Upgrade: websocket, h2c"}, {"Connection: x,\tupgrade"}, {"+Content-Length: 4"}, {"+Transfer-Encoding: chunked"}, {"-Sec-WebSocket-Accept"}} {
		f.Add([]byte(head("HTTP/1.1 101 Switching Protocols", good, changes)))
	}
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
		if err != nil {
			return
		}
		protocol, err := CheckResponse(r, sampleKey, []string{"chat", "v2"})
		if err != nil {
			var fault *Fault
			if !errors.As(err, &fault) || protocol != "" || fault.Status != 502 {
				t.Fatalf("error %v with %q", err, protocol)
			}
			return
		}
		lines := strings.Join(r.Header["Sec-Websocket-Protocol"], ",")
		if r.StatusCode != 101 || protocol != lines || protocol != "" && protocol != "chat" && protocol != "v2" ||
			strings.Join(r.Header["Sec-Websocket-Accept"], ",") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" ||
			len(r.Header["Sec-Websocket-Extensions"]) > 0 || !isASCII(r.Header.Get("Upgrade")) || strings.ToLower(r.Header.Get("Upgrade")) != "websocket" {
			t.Fatalf("accepted %q", raw)
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7f }) < 0
}
