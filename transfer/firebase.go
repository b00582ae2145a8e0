package transfer

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
)

// Firebase and FirebaseCSV are the files of firebase auth:export.
const (
	Firebase    Format = "firebase"
	FirebaseCSV Format = "firebase-csv"
)

// firebaseUser is a user in a file of Firebase.
type firebaseUser struct {
	LocalID          string             `json:"localId"`
	Email            string             `json:"email"`
	EmailVerified    bool               `json:"emailVerified"`
	PasswordHash     string             `json:"passwordHash"`
	Salt             string             `json:"salt"`
	DisplayName      string             `json:"displayName"`
	PhoneNumber      string             `json:"phoneNumber"`
	Disabled         bool               `json:"disabled"`
	CreatedAt        millis             `json:"createdAt"`
	LastSignedInAt   millis             `json:"lastSignedInAt"`
	ProviderUserInfo []firebaseIdentity `json:"providerUserInfo"`
}

type firebaseIdentity struct {
	ProviderID  string `json:"providerId"`
	RawID       string `json:"rawId"`
	Email       string `json:"email"`
	DisplayName string `json:"displayName"`
}

// readFirebase reads the format [Firebase].
func readFirebase(r io.Reader, o Options) Records {
	return jsonUsers(r, layout{member: "users"}, o.firebaseUser)
}

// firebaseUser turns a user of Firebase into one of here.
func (o Options) firebaseUser(f *firebaseUser) (*latchkey.PortableUser, error) {
	u, err := newUser(Firebase, f.LocalID)
	if err != nil {
		return nil, err
	}
	u.Email, u.EmailVerified, u.Phone, u.Name, u.Blocked = f.Email, f.EmailVerified, f.PhoneNumber, f.DisplayName, f.Disabled
	u.CreatedAt, u.AccessedAt = f.CreatedAt.Time, f.LastSignedInAt.Time
	for _, i := range f.ProviderUserInfo {
		if i.ProviderID == "password" || i.ProviderID == "phone" {
			continue
		}
		if err := o.addIdentity(u, latchkey.PortableIdentity{Subject: i.RawID, Email: i.Email, Name: i.DisplayName}, i.ProviderID); err != nil {
			return nil, err
		}
	}
	if f.PasswordHash == "" {
		return u, nil
	}
	h, err := o.firebaseHash(f.PasswordHash, f.Salt)
	return u, o.setPassword(u, h, err)
}

// redacted is the base64 of REDACTED, without padding.
const redacted = "UkVEQUNURUQ"

// firebaseHash reads a hash of the project.
func (o Options) firebaseHash(hash, salt string) (foreign.Hash, error) {
	project := o.Firebase
	project.Salt = salt
	switch {
	case strings.TrimRight(hash, "=") == redacted:
		return foreign.Hash{}, errors.New("the account that wrote the file may not read hashes")
	case strings.HasPrefix(hash, "fakeHash:"):
		return foreign.Hash{}, errors.New("the emulator has written it, and does not hash passwords")
	case project.SignerKey == "":
		return foreign.Hash{}, errors.New("Options.Firebase has no SignerKey")
	}
	return foreign.ScryptModified(hash, project)
}

// The columns of a file of Firebase in CSV, which has no header.
const (
	firebaseID = iota
	firebaseEmail
	firebaseEmailVerified
	firebasePasswordHash
	firebaseSalt
	firebaseName
	firebasePhoto
	firebaseCreated  = 23
	firebaseSignedIn = 24
	firebasePhone    = 25
	firebaseDisabled = 26
)

// firebaseWidths are the numbers of columns of a row: in 2017, until May 2026, and since. The tool
// did not double quotes, so a name may move the columns, and another number is refused.
var firebaseWidths = []int{27, 29, 53}

// firebaseProviders are the first columns of the identities: the id, the address and the name.
var firebaseProviders = []struct {
	id string
	at int
}{
	{"google.com", 7}, {"facebook.com", 11}, {"twitter.com", 15}, {"github.com", 19}, {"apple.com", 28}, {"microsoft.com", 32},
	{"gc.apple.com", 36}, {"playgames.google.com", 40}, {"linkedin.com", 44}, {"yahoo.com", 48},
}

// readFirebaseCSV reads the format [FirebaseCSV].
func readFirebaseCSV(r io.Reader, o Options) Records {
	return usersIn(r, splitFirebase, func(raw []byte) (*latchkey.PortableUser, error) {
		f, err := firebaseRow(raw)
		if err != nil {
			return nil, err
		}
		return o.firebaseUser(f)
	})
}

// firebaseRow reads a row.
func firebaseRow(raw []byte) (*firebaseUser, error) {
	fields, ok := fieldsOf(raw, ',', true)
	switch {
	case !ok:
		return nil, errNoRow
	case !slices.Contains(firebaseWidths, len(fields)):
		return nil, errors.New("its number of columns is not 27, 29 or 53")
	case fields[firebasePhoto] != "" && !strings.Contains(fields[firebasePhoto], "://"):
		return nil, errors.New("its column photoUrl has no address: a quote in the name may have moved the columns")
	case fields[firebaseEmailVerified] != "true" && fields[firebaseEmailVerified] != "false":
		return nil, anotherColumn("emailVerified")
	}
	f := &firebaseUser{
		LocalID: fields[firebaseID], Email: fields[firebaseEmail], EmailVerified: fields[firebaseEmailVerified] == "true",
		PasswordHash: fields[firebasePasswordHash], Salt: fields[firebaseSalt], DisplayName: fields[firebaseName], PhoneNumber: fields[firebasePhone],
	}
	var errCreated, errSignedIn, errDisabled error
	f.CreatedAt.Time, errCreated = parseMillis(fields[firebaseCreated])
	f.LastSignedInAt.Time, errSignedIn = parseMillis(fields[firebaseSignedIn])
	f.Disabled, errDisabled = parseFlag(fields[firebaseDisabled])
	switch {
	case errCreated != nil:
		return nil, anotherColumn("createdAt")
	case errSignedIn != nil:
		return nil, anotherColumn("lastSignedInAt")
	case errDisabled != nil:
		return nil, anotherColumn("disabled")
	}
	for _, p := range firebaseProviders {
		if p.at+2 < len(fields) && fields[p.at] != "" {
			f.ProviderUserInfo = append(f.ProviderUserInfo, firebaseIdentity{p.id, fields[p.at], fields[p.at+1], fields[p.at+2]})
		}
	}
	return f, nil
}

// splitFirebase cuts a file into lines. The tool does not double each quote, so a quote does not
// tell whether a row goes on: each line is a row, and a name has no line break here anyway.
func splitFirebase(in *bufio.Reader, yield func(int, []byte) bool) error {
	if _, err := in.Peek(1); err != nil {
		return notFound(in)
	}
	return lines(in, MaxRecord, yield)
}
