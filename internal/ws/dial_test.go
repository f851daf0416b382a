package ws

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

func response(t testing.TB, start string, lines ...string) *http.Response {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(head(start, []string{
		"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: " + AcceptKey(sampleKey),
	}, lines))), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCheckResponse_SR58(t *testing.T) {
	for _, row := range []struct {
		name, start string
		lines       []string
		want        string // code; empty: accepted
		protocol    string
	}{
		{name: "the answer of the RFC"},
		{name: "other headers", lines: []string{"+Server: x", "+Set-Cookie: a=b"}},
		{name: "SR-58 AT-22 odd case and several lines", lines: []string{"Upgrade: WebSocket", "Connection: x", "+Connection:\tUPGRADE"}},
		{name: "SR-58 status 200", start: "HTTP/1.1 200 OK", want: "status"},
		{name: "SR-58 status 100", start: "HTTP/1.1 100 Continue", want: "status"},
		{name: "SR-58 status 103", start: "HTTP/1.1 103 Early Hints", want: "status"},
		{name: "SR-58 status 302", start: "HTTP/1.1 302 Found", lines: []string{"+Location: wss://elsewhere.example"}, want: "status"},
		{name: "SR-58 status 401", start: "HTTP/1.1 401 Unauthorized", want: "status"},
		{name: "SR-58 HTTP/1.0", start: "HTTP/1.0 101 Switching Protocols", want: "proto"},
		{name: "SR-58 no Upgrade", lines: []string{"-Upgrade"}, want: "upgrade"},
		{name: "SR-58 another Upgrade", lines: []string{"Upgrade: h2c"}, want: "upgrade"},
		{name: "SR-58 two Upgrades", lines: []string{"+Upgrade: websocket"}, want: "upgrade"},
		{name: "SR-58 a list in Upgrade", lines: []string{"Upgrade: websocket, h2c"}, want: "upgrade"},
		{name: "SR-58 no Connection", lines: []string{"-Connection"}, want: "connection"},
		{name: "SR-58 another Connection", lines: []string{"Connection: keep-alive"}, want: "connection"},
		{name: "SR-58 no accept value", lines: []string{"-Sec-WebSocket-Accept"}, want: "accept"},
		{name: "SR-58 the accept value of another key", lines: []string{"Sec-WebSocket-Accept: " + AcceptKey("AAAAAAAAAAAAAAAAAAAAAA==")}, want: "accept"},
		{name: "SR-58 the key itself", lines: []string{"Sec-WebSocket-Accept: " + sampleKey}, want: "accept"},
		{name: "SR-58 the accept value in lower case", lines: []string{"Sec-WebSocket-Accept: " + strings.ToLower(AcceptKey(sampleKey))}, want: "accept"},
		{name: "SR-58 the accept value twice", lines: []string{"+Sec-WebSocket-Accept: " + AcceptKey(sampleKey)}, want: "accept"},
		{name: "SR-58 an extension that was not offered", lines: []string{"+Sec-WebSocket-Extensions: permessage-deflate"}, want: "extensions"},
		{name: "SR-58 an empty list of extensions", lines: []string{"+Sec-WebSocket-Extensions: "}, want: "extensions"},
		{name: "SR-58 a subprotocol that was offered", lines: []string{"+Sec-WebSocket-Protocol: chat"}, protocol: "chat"},
		{name: "SR-58 a subprotocol that was not offered", lines: []string{"+Sec-WebSocket-Protocol: other"}, want: "protocols"},
		{name: "SR-58 a subprotocol in another case", lines: []string{"+Sec-WebSocket-Protocol: Chat"}, want: "protocols"},
		{name: "SR-58 two subprotocols", lines: []string{"+Sec-WebSocket-Protocol: chat, v2"}, want: "protocols"},
		{name: "SR-58 two lines of subprotocols", lines: []string{"+Sec-WebSocket-Protocol: chat", "+Sec-WebSocket-Protocol: v2"}, want: "protocols"},
		{name: "SR-58 the same subprotocol on two lines", lines: []string{"+Sec-WebSocket-Protocol: chat", "+Sec-WebSocket-Protocol: chat"}, want: "protocols"},
		{name: "SR-58 an empty subprotocol", lines: []string{"+Sec-WebSocket-Protocol: "}, want: "protocols"},
		{name: "SR-58 a 101 with a length", lines: []string{"+Content-Length: 5"}, want: "body"},
		{name: "SR-58 a chunked 101", lines: []string{"+Transfer-Encoding: chunked"}, want: "body"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.start == "" {
				row.start = "HTTP/1.1 101 Switching Protocols"
			}
			got, err := CheckResponse(response(t, row.start, row.lines...), sampleKey, []string{"chat", "v2"})
			want := ""
			if row.want != "" {
				want = "502 " + row.want
			}
			if verdict(t, err) != want || got != row.protocol {
				t.Errorf("got %q, %v; want %q, %q", got, err, row.protocol, want)
			}
		})
	}
	if _, err := CheckResponse(response(t, "HTTP/1.1 101 X", "+Sec-WebSocket-Protocol: chat"), sampleKey, nil); verdict(t, err) != "502 protocols" {
		t.Errorf("SR-58 a subprotocol though none was offered: %v", err)
	}
	if _, err := CheckResponse(response(t, "HTTP/1.1 101 X", "+Sec-WebSocket-Protocol: a b"), sampleKey, []string{"a b"}); verdict(t, err) != "502 protocols" {
		t.Errorf("SR-58 a subprotocol that is no token: %v", err)
	}
}

func TestAppendRequest_SR57(t *testing.T) {
	type args struct {
		method, target, host, key string
		protocols                 []string
		h                         http.Header
	}
	good := args{"GET", "/ws?a=b%20c", "chat.example.com:8443", sampleKey, nil, nil}
	for _, row := range []struct {
		name   string
		change func(*args)
		want   string // part of the error; empty: written
	}{
		{"the least", func(a *args) {}, ""},
		{"an IPv6 host", func(a *args) { a.host = "[::1]:80" }, ""},
		{"subprotocols", func(a *args) { a.protocols = []string{"chat", "v2"} }, ""},
		{"headers", func(a *args) {
			a.h = http.Header{"Origin": {"https://a.example"}, "Cookie": {"a=b"}, "X-Twice": {"1", "2"}}
		}, ""},
		{"POST", func(a *args) { a.method = "POST" }, "method"},
		{"an empty target", func(a *args) { a.target = "" }, "target"},
		{"an absolute target", func(a *args) { a.target = "http://a/" }, "target"},
		{"a target with a space", func(a *args) { a.target = "/a b" }, "target"},
		{"a target with CR LF", func(a *args) { a.target = "/ HTTP/1.1\r\nX: y" }, "target"},
		{"a target with NUL", func(a *args) { a.target = "/\x00" }, "target"},
		{"a target with a fragment", func(a *args) { a.target = "/a#b" }, "target"},
		{"a target beyond ASCII", func(a *args) { a.target = "/é" }, "target"},
		{"no host", func(a *args) { a.host = "" }, "host"},
		{"a host with CR LF", func(a *args) { a.host = "a\r\nX: y" }, "host"},
		{"a host with a user", func(a *args) { a.host = "u@a" }, "host"},
		{"a host with a path", func(a *args) { a.host = "a/b" }, "host"},
		{"two hosts", func(a *args) { a.host = "a,b" }, "host"},
		{"a key that is none", func(a *args) { a.key = "x" }, "key"},
		{"a key with CR LF", func(a *args) { a.key = "dGhlIHNhbXBsZSBub25\r\nZQ==" }, "key"},
		{"an empty subprotocol", func(a *args) { a.protocols = []string{""} }, "subprotocol"},
		{"a subprotocol twice", func(a *args) { a.protocols = []string{"a", "b", "a"} }, "subprotocol"},
		{"a subprotocol with a comma", func(a *args) { a.protocols = []string{"a,b"} }, "subprotocol"},
		{"a subprotocol with a space around", func(a *args) { a.protocols = []string{" a"} }, "subprotocol"},
		{"a subprotocol with CR LF", func(a *args) { a.protocols = []string{"a\r\nX: y"} }, "subprotocol"},
		{"a header with CR LF", func(a *args) { a.h = http.Header{"A": {"b\r\nX: y"}} }, "header"},
		{"a header with LF", func(a *args) { a.h = http.Header{"A": {"b\nX: y"}} }, "header"},
		{"a header with NUL", func(a *args) { a.h = http.Header{"A": {"\x00"}} }, "header"},
		{"a header with a space before", func(a *args) { a.h = http.Header{"A": {" b"}} }, "header"},
		{"a name with a colon", func(a *args) { a.h = http.Header{"A: b\r\nC": {"d"}} }, "header"},
		{"a name with a space", func(a *args) { a.h = http.Header{"A ": {"d"}} }, "header"},
		{"a second Host", func(a *args) { a.h = http.Header{"host": {"b"}} }, "may not"},
		{"an Upgrade of its own", func(a *args) { a.h = http.Header{"Upgrade": {"h2c"}} }, "may not"},
		{"a body", func(a *args) { a.h = http.Header{"Content-Length": {"1"}} }, "may not"},
		{"an extension", func(a *args) { a.h = http.Header{"sec-websocket-extensions": {"x"}} }, "may not"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := good
			row.change(&a)
			got, err := AppendRequest([]byte("kept"), a.method, a.target, a.host, a.key, a.protocols, a.h)
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) || string(got) != "kept" {
					t.Fatalf("got %q, %v; want an error about %q", got, err, row.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(got[4:]))))
			if err != nil {
				t.Fatal(err)
			}
			offer, err := CheckUpgrade(r)
			if err != nil || offer.Key != a.key || strings.Join(offer.Protocols, " ") != strings.Join(a.protocols, " ") || r.Host != a.host || r.RequestURI != a.target {
				t.Errorf("our server reads %+v, %v from %q", offer, err, got)
			}
			for name, values := range a.h {
				if strings.Join(r.Header[name], "|") != strings.Join(values, "|") {
					t.Errorf("%s became %q", name, r.Header[name])
				}
			}
		})
	}
}
