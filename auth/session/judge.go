package session

import "github.com/sallyport/sallyport/auth"

// Judge claims the identities that sessions of this issuer prove. Whether the
// session still exists is asked by Recheck, since only the store knows; all
// others are answered with an error wrapping [auth.ErrNoCredentials].
func (s *Sessions) Judge(id auth.Identity) error {
	if id.Method != Method || id.Issuer != s.issuer {
		return auth.ErrNoCredentials
	}
	return nil
}
