package sallyport

import (
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/origin"
)

// Weaknesses lists, as sentences for a log or a reviewer, what this door gives
// up: by its configuration, and by running inside somebody else's http.Server.
// The latter are left out once every handshake so far came through a
// wss.Listener.
func (d *Door) Weaknesses() []string {
	p := d.policy.Load()
	var list []string
	for g := range p.every() {
		for _, a := range auth.Members(g.Auth) {
			if r, ok := a.(interface{ Reason() string }); ok {
				list = append(list, fmt.Sprintf("gate %s admits everybody: %s", g.Path, r.Reason()))
			}
		}
		if why := g.passesMasked(); why != "" {
			list = append(list, fmt.Sprintf("gate %s passes text unchecked, and with the mask that the client chose: %s", g.Path, why))
		}
		if g.origin.AllowsNone() {
			list = append(list, fmt.Sprintf("gate %s admits programs without Origin (without: %s)", g.Path, origin.AllowBearer))
		}
	}
	slices.Sort(list)
	if p.config.Revocations == nil {
		list = append(list, "revocations are kept in memory: a restart forgets them")
	}
	if !d.strict.Load() || d.lax.Load() {
		list = append(list,
			"TLS is not enforced here: the server in front must refuse plaintext",
			"request heads are read by net/http, which accepts bare LF, folded lines and doubled fields that a strict parser refuses",
			"connections that have not sent a request are bounded by the server's own timeouts only",
		)
	}
	return list
}
