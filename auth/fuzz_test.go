package auth_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/auth"
)

// FuzzInURL_SR38_AT85: a credential in a query string is found wherever a server that
// splits at & would find one, and nothing is found where there is none.
func FuzzInURL_SR38_AT85(f *testing.F) {
	names := []string{"token", "access_token", "id_token", "ticket", "jwt", "auth_token", "authorization", "bearer"}
	for _, s := range []string{"", "token=x", "a=b&TOKEN=x", "a=b;ticket=x", "token", "mytoken=x", "a=token", "&&;=", "%zz=1&jwt=", "tokens=1", "gate=/ws"} {
		f.Add(s)
	}
	f.Add(strings.Repeat("a=1&", 10_001) + "%;;ticket=x") // more than some parsers look at
	f.Fuzz(func(t *testing.T, query string) {
		got := auth.InURL(&http.Request{URL: &url.URL{Path: "/ws", RawQuery: query}})
		want := false
		for _, pair := range strings.Split(strings.ReplaceAll(query, ";", "&"), "&") {
			name, _, _ := strings.Cut(pair, "=")
			want = want || slices.Contains(names, strings.ToLower(name))
		}
		if got != want {
			t.Fatalf("%q: got %v, want %v", query, got, want)
		}
		if got {
			return
		}
		for _, name := range names { // one more parameter cannot hide it
			for _, s := range []string{query + "&" + name + "=x", strings.ToUpper(name) + "=x&" + query, query + ";" + name} {
				if !auth.InURL(&http.Request{URL: &url.URL{RawQuery: s}}) {
					t.Fatalf("%q is not found in %q", name, s)
				}
			}
		}
	})
}

// FuzzTicketFrom_SR39: a ticket is one whole token of the list, and every one is
// counted, on whatever line it stands.
func FuzzTicketFrom_SR39(f *testing.F) {
	f.Add("sallyport.ticket.abc, sallyport", "chat")
	f.Add("chat", " \tsallyport.ticket.\t,sallyport.ticket.b")
	f.Add("xsallyport.ticket.a,SALLYPORT.TICKET.b", ",,,")
	f.Fuzz(func(t *testing.T, a, b string) {
		r := &http.Request{Header: http.Header{"Sec-Websocket-Protocol": {a, b}}}
		got, n := auth.TicketFrom(r)
		var all []string
		for _, token := range append(strings.Split(a, ","), strings.Split(b, ",")...) {
			if token = strings.Trim(token, " \t"); strings.HasPrefix(token, auth.TicketPrefix) {
				all = append(all, token[len(auth.TicketPrefix):])
			}
		}
		if n != len(all) || n > 0 && !slices.Contains(all, got) || n == 0 && got != "" {
			t.Fatalf("%q, %q: got %q of %d, want one of %q", a, b, got, n, all)
		}
		r.Header.Add("Sec-WebSocket-Protocol", "sallyport, "+auth.TicketPrefix+"mine")
		if got, more := auth.TicketFrom(r); more != n+1 || n == 0 && got != "mine" {
			t.Fatalf("%q, %q: with mine, got %q of %d", a, b, got, more)
		}
	})
}

// FuzzBearerFrom_SR39: what is taken for a token is part of what was sent, behind
// the scheme, and no other scheme passes for it.
func FuzzBearerFrom_SR39(f *testing.F) {
	for _, s := range []string{"Bearer abc", "bearer  abc ", "Bearer", "Basic YTpi", "Bearer\tabc", "BEARER ", " Bearer x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r := &http.Request{Header: http.Header{"Authorization": {line}}}
		token, ok := auth.BearerFrom(r)
		if !ok {
			if token != "" || len(line) > 7 && strings.EqualFold(line[:7], "bearer ") {
				t.Fatalf("%q: got %q, %v", line, token, ok)
			}
			return
		}
		rest := strings.TrimLeft(line[strings.IndexByte(line, ' '):], " ")
		if strings.TrimRight(rest, " ") != token {
			t.Fatalf("%q: got %q", line, token)
		}
	})
}
