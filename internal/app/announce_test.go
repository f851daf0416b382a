package app_test

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/guard"
)

// TestAnnouncement is what an operator reads at start.
func TestAnnouncement(t *testing.T) {
	const strict = "without a Content-Security-Policy of their own get the door's strict one"
	for _, row := range []struct {
		name       string
		change     func(*world, string) string
		want, none string
	}{
		{"the command names a directory where it would not look", func(w *world, s string) string { return s },
			`run \"sallyport dev-ca --state `, strict},
		{"what is in memory has no command", func(w *world, s string) string { return strings.Replace(s, w.state(), "memory", 1) },
			"it is gone after this run", "sallyport dev-ca"},
		{"pages of an app get a policy", func(w *world, s string) string { return s + "app: " + w.backend.URL + "\n" },
			strict, "gone after"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			w.configure(row.change(w, w.text(w.jwtGate("/chat", "")))).start()
			if log := w.log.String(); strings.Count(log, row.want) != 1 || strings.Contains(log, row.none) {
				t.Errorf("want %q once and no %q in\n%s", row.want, row.none, log)
			}
			if err := w.server.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(w.log.String(), row.want); n != 1 {
				t.Errorf("%d lines after a reload", n)
			}
		})
	}
}

// TestAdministratorIsLogged: the line says whom it was done to, escaped.
func TestAdministratorIsLogged_SR92_SR94(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", "")).start()
	if _, err := w.admin.Revoke(t.Context(), guard.Match{Issuer: issuer, Subject: "x\u202ey\nz"}); err != nil {
		t.Fatal(err)
	}
	const want = `"action":"revocation","subject":"x\\u202ey\\u000az","issuer":"` + issuer + `","ended":0`
	if !strings.Contains(w.log.String(), want) {
		t.Errorf("no %s in\n%s", want, w.log.String())
	}
}
