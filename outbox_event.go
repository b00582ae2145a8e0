package latchkey

// payloads returns makers of the payloads of events, by the names of their types.
func payloads() map[string]func() any {
	return map[string]func() any{
		"*latchkey.User":         func() any { return new(User) },
		"*latchkey.Session":      func() any { return new(Session) },
		"*latchkey.Token":        func() any { return new(Token) },
		"*latchkey.MFAChallenge": func() any { return new(MFAChallenge) },
		"*latchkey.Target":       func() any { return new(Target) },
		"*latchkey.Identity":     func() any { return new(Identity) },
		"*latchkey.Passkey":      func() any { return new(Passkey) },
		"*latchkey.Team":         func() any { return new(Team) },
		"*latchkey.Membership":   func() any { return new(Membership) },
		"latchkey.LimitResult":   func() any { return new(LimitResult) },
	}
}
