package sallyport

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/link"
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
	if err == nil {
		err = g.bound(v.id, v.key()) // nothing proves a key here
	}
	if err != nil {
		v.refuseHTTP(err)
		return
	}
	if err := place.Bind(v.id.Issuer, v.id.Subject); err != nil {
		v.refuseHTTP(err)
		return
	}
	ctx, leave, err := d.follow(v)
	if err != nil {
		v.refuseHTTP(err)
		return
	}
	defer leave()
	p.headers.Middleware(g.HTTP).ServeHTTP(w, r.WithContext(context.WithValue(ctx, identityKey{}, v.id)))
}

// request is an ordinary request that was let through: a stream or a long poll
// may last as long as a connection, and ends for the same reasons.
type request struct {
	gate, origin string
	host         host
	id           auth.Identity
	end          context.CancelCauseFunc
}

// follow keeps v's request in the registry until leave. Its context ends with
// the credential, after MaxLife, and by revocations and changes of policy; what
// has not been written within a second of that never is.
func (d *Door) follow(v *visit) (ctx context.Context, leave func(), err error) {
	end := v.began.Add(v.gate.guard.MaxLife)
	if !v.id.Expires.IsZero() && v.id.Expires.Before(end) {
		end = v.id.Expires
	}
	ctx, cancelCause := context.WithCancelCause(v.r.Context())
	ctx, cancel := context.WithDeadlineCause(ctx, end, deny.Because(deny.AuthExpired, nil))
	q := &request{v.gate.Path, v.origin, hostOf(v.r), v.id, cancelCause}
	d.mu.Lock()
	d.requests[q] = struct{}{}
	d.mu.Unlock()
	control := http.NewResponseController(v.w)
	stop := context.AfterFunc(ctx, func() { control.SetWriteDeadline(time.Now().Add(link.Linger)) })
	leave = func() {
		d.mu.Lock()
		delete(d.requests, q)
		d.mu.Unlock()
		stop()
		cancel()
		cancelCause(nil)
	}
	if d.revocations.Revoked(holder(v.id)) { // between the check and the registry
		leave()
		return nil, nil, deny.Because(deny.AuthRevoked, nil)
	}
	return ctx, leave, nil
}

// following are the requests that were let through and are not answered yet.
func (d *Door) following() []*request {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.requests))
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
