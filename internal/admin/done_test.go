package admin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestDone_SR92: whoever keeps the log learns what was done and to whom, and
// nothing that lets somebody in.
func TestDone_SR92(t *testing.T) {
	for _, row := range []struct{ name, method, path, body, want string }{
		{"everybody ended", "DELETE", "/connections?all=true", "", "connections.end [all=true] 0"},
		{"those of a filter", "DELETE", "/connections?subject=a&gate=/chat&address=10.1.2.3", "", "connections.end [gate=/chat subject=a address=10.1.2.3/32] 0"},
		{"a user revoked", "POST", "/revocations", `{"subject":"a","issuer":"i"}`, "revocation [subject=a issuer=i] 3"},
		{"a session and a credential", "POST", "/revocations", `{"session":"s","credential":"c"}`, "revocation [session=s credential=c] 3"},
		{"a time", "POST", "/revocations", `{"issued_before":"2026-03-02T11:00:00+01:00"}`, "revocation [issued_before=2026-03-02T10:00:00Z] 3"},
		{"a ticket", "POST", "/tickets", `{"gate":"/chat","subject":"a","session":"s"}`, "ticket [gate=/chat subject=a issuer=https://door.example session=s credential="},
		{"a list is nothing done", "GET", "/connections?subject=a", "", ""},
		{"a refusal is nothing done", "DELETE", "/connections", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := ""
			h := newAPI(&door{}, func(c *Config) {
				c.Did = func(d Done) { got = fmt.Sprint(d.Action, d.About, d.Ended) }
			})
			w := ask(h, row.method, row.path, row.body)
			got = strings.Replace(got, "[", " [", 1)
			if !strings.HasPrefix(got, row.want) || row.want == "" && got != "" {
				t.Errorf("got %q, want %q (%d %s)", got, row.want, w.Code, w.Body)
			}
			if strings.Contains(got, "sallyport.ticket") || w.Code == http.StatusInternalServerError {
				t.Errorf("got %q, %d", got, w.Code)
			}
		})
	}
}
