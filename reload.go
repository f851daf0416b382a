package sallyport

import (
	"errors"

	"github.com/sallyport/sallyport/deny"
)

// Reload replaces the policies by those of c, or changes nothing and returns
// all mistakes. Open connections that the new policies would not admit end with
// policy.changed; the others keep the limits they were admitted with. The
// stores of tickets and revocations stay those given to New.
func (d *Door) Reload(c Config) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	p, limits, err := d.compile(c, d.handled)
	if err != nil {
		return err
	}
	d.policy.Store(p)
	d.places.SetLimits(limits)
	d.budget.SetMax(limits.Buffered)
	d.refusals.setMax(limits.Refusals)
	d.Rejudge()
	return nil
}

// Rejudge ends the connections that the policies in force would no longer
// admit, for example because a key left its set.
func (d *Door) Rejudge() {
	for _, c := range d.all() {
		if err := d.judge(c); err != nil {
			c.stop(deny.Of(err), err)
		}
	}
	for _, q := range d.following() {
		if err := d.judgeAs(q.gate, q.host, q.origin, q.id, false, ""); err != nil {
			q.end(err)
		}
	}
}

// judge asks whether the policies in force would admit c as it was admitted.
func (d *Door) judge(c *Conn) error {
	if err := d.judgeAs(c.gate, c.host, c.origin, c.Identity(), c.Sealed(), c.key); err != nil {
		return err
	}
	if g := d.policy.Load().find(c.gate); c.origin == "none" && (g == nil || !g.origin.AllowsNone()) {
		return deny.Because(deny.PolicyChanged, errors.New("a missing origin is no longer allowed"))
	}
	return nil
}

// rejudge ends c if the policies are no longer p, by which it was judged, and
// those in force refuse it: a reload may have swept before c was to be seen.
func (d *Door) rejudge(c *Conn, p *policy) error {
	if d.policy.Load() == p {
		return nil
	}
	err := d.judge(c)
	if err != nil {
		c.End(deny.Of(err), err)
	}
	return err
}
