package sallyport

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

// guarded sends a request that is no upgrade through the same checks as a
// handshake: for backends that also poll over HTTP on the gate's path.
func (d *Door) guarded(p *policy, g *gate, w http.ResponseWriter, r *http.Request) {
	v := &visit{door: d, policy: p, gate: g, w: w, r: r, began: time.Now(), address: p.address(r)}
	err := g.origin.CheckHost(r)
	if err != nil {
		v.refuseHTTP(err)
		return
	}
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		v.preflight()
		return
	}
	if v.origin, err = g.origin.CheckRequest(r); err != nil {
		v.refuseHTTP(err)
		return
	}
	if v.origin != "none" && r.Header.Get("Origin") != "" { // answers and refusals are readable to a trusted page
		allow(w, v.origin)
	}
	if d.isDraining() {
		v.refuseHTTP(deny.Because(deny.Drain, nil))
		return
	}
	place, err := d.places.Admit(v.address)
	if err != nil {
		v.refuseHTTP(err)
		return
	}
	defer place.Release()
	ctx, cancel := context.WithTimeout(r.Context(), openWait)
	v.id, err = d.identify(ctx, auth.Without(g.Auth, auth.Ticket), r, v.attempt()) // tickets are for handshakes
	cancel()
	if err != nil {
		v.refuseHTTP(err)
		return
	}
	if err := place.Bind(v.id.Issuer, v.id.Subject); err != nil {
		v.refuseHTTP(err)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), identityKey{}, v.id))
	p.headers.Middleware(g.HTTP).ServeHTTP(w, r)
}

// preflight answers for the backend: a page of a trusted origin may send what
// it asks to send.
func (v *visit) preflight() {
	from := v.r.Header.Get("Origin")
	if len(v.r.Header.Values("Origin")) != 1 || !v.gate.origin.Trusts(from) {
		v.refuseHTTP(deny.Because(deny.OriginUntrusted, fmt.Errorf("preflight from %q", clip(from))))
		return
	}
	h := v.w.Header()
	v.policy.headers.Apply(h)
	allow(v.w, from)
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE")
	if asked := v.r.Header.Get("Access-Control-Request-Headers"); asked != "" && len(asked) <= 1024 {
		h.Set("Access-Control-Allow-Headers", asked)
	}
	h.Set("Access-Control-Max-Age", "600")
	v.w.WriteHeader(http.StatusNoContent)
}
