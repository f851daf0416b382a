package auth_test

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

// FuzzCheckQuery_SR38_AT85: what passes holds no credential for any reader, and
// one more parameter cannot hide one.
func FuzzCheckQuery_SR38_AT85(f *testing.F) {
	names := []string{"token", "access_token", "id_token", "ticket", "jwt", "auth_token", "authorization", "bearer"}
	for _, s := range []string{"", "token=x", "a=b&TOKEN=x", "a=b;ticket=x", "token", "mytoken=x", "a=token", "&&;=", "%zz=1&jwt=", "tokens=1", "gate=/ws", "%74oken=x", "a=%", "to+ken=x"} {
		f.Add(s)
	}
	f.Add(strings.Repeat("a=1&", 10_001) + "%;;ticket=x") // more than some parsers look at
	f.Fuzz(func(t *testing.T, query string) {
		check := func(query string) error {
			return auth.CheckQuery(&http.Request{URL: &url.URL{Path: "/ws", RawQuery: query}})
		}
		if check(query) != nil {
			return
		}
		values, err := url.ParseQuery(strings.ReplaceAll(query, ";", "&"))
		if err != nil {
			t.Fatalf("%q passed and can't be parsed: %v", query, err)
		}
		for name := range values {
			if slices.Contains(names, strings.ToLower(name)) {
				t.Fatalf("%q passed", query)
			}
		}
		for _, name := range names {
			for _, s := range []string{query + "&" + name + "=x", strings.ToUpper(name) + "=x&" + query, query + ";" + name, "%" + hex.EncodeToString([]byte(name[:1])) + name[1:] + "&" + query} {
				if check(s) == nil {
					t.Fatalf("%q is not found in %q", name, s)
				}
			}
		}
	})
}

func TestCheckQuery_SR38_AT85(t *testing.T) {
	tests := []struct {
		name, query string
		want        deny.Reason
	}{
		{"nothing", "", 0},
		{"the application's own", "room=1&lang=en", 0},
		{"SR-38 a token", "access_token=x", deny.AuthInURL},
		{"AT-85 a token behind a semicolon", "room=1;token=x", deny.AuthInURL},
		{"AT-85 a token whose name is escaped", "%74oken=x", deny.AuthInURL},
		{"AT-85 a broken escape", "room=%zz", deny.HTTPMalformed},
		{"AT-85 10,000 parameters", strings.Repeat("a=1&", 10_000), deny.HTTPMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := deny.Of(auth.CheckQuery(&http.Request{URL: &url.URL{RawQuery: tt.query}})); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
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
