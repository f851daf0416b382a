package auth

import "errors"

// Judge is implemented by authenticators that can tell, from a recorded
// identity alone, whether they would still accept it: the question after a
// reload or when a key leaves a set.
type Judge interface {
	// Judge returns nil if id would be accepted, an error wrapping
	// [ErrNoCredentials] if id is not of its making, and any other error if it
	// would be refused now.
	Judge(id Identity) error
}

// StillAccepts asks a, or the members of a [First], about id. An identity that
// none of them could have made is refused. Authenticators that are no Judge
// accept what is not claimed by another.
func StillAccepts(a Authenticator, id Identity) error {
	verdict := error(ErrNoCredentials)
	for _, m := range Members(a) {
		j, ok := m.(Judge)
		switch {
		case kindOf(m) == Ticket: // a ticket carries another's identity
		case !ok:
			verdict = nil
		default:
			if err := j.Judge(id); !errors.Is(err, ErrNoCredentials) {
				return err
			}
		}
	}
	return verdict
}

// RecheckerOf returns the member of a that can ask again about id, or nil.
func RecheckerOf(a Authenticator, id Identity) Rechecker {
	for _, m := range Members(a) {
		r, ok := m.(Rechecker)
		if !ok {
			continue
		}
		if j, ok := m.(Judge); ok && errors.Is(j.Judge(id), ErrNoCredentials) {
			continue
		}
		return r
	}
	return nil
}

// Without returns a without its members of the given kind.
func Without(a Authenticator, kind Kind) Authenticator {
	var rest []Authenticator
	for _, m := range Members(a) {
		if kindOf(m) != kind {
			rest = append(rest, m)
		}
	}
	return First(rest...)
}

// Judge accepts the identities that it made.
func (anonymous) Judge(id Identity) error {
	if id.Method != "anonymous" {
		return ErrNoCredentials
	}
	return nil
}
