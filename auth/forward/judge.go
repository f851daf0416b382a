package forward

import "github.com/sallyport/sallyport/auth"

// Judge claims the identities that this endpoint of the application vouched
// for. Whether it still does is asked by Recheck; all others are answered with
// an error wrapping [auth.ErrNoCredentials].
func (a *Authenticator) Judge(id auth.Identity) error {
	if id.Method != Method || id.Issuer != a.issuer {
		return auth.ErrNoCredentials
	}
	return nil
}
