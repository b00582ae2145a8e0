package rawstore

import (
	"encoding/binary"
	"errors"
	"time"

	bolt "go.etcd.io/bbolt"
)

var boltBuckets = []string{"sessions", "sessions.id", "sessions.user", "sessions.expire", "users", "logs", "logs.user", "logs.created"}

// Bolt keeps sessions and logs in bbolt. A session is stored under its digest. Each
// further index is a bucket.
type Bolt struct {
	db    *bolt.DB
	users int
	group *group
}

// OpenBolt creates a file with n sessions.
func OpenBolt(path string, n int) (*Bolt, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	b := &Bolt{db: db, users: Users(n)}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range boltBuckets {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		for i := range b.users {
			if err := tx.Bucket([]byte("users")).Put([]byte(UserID(i)), []byte{1}); err != nil {
				return err
			}
		}
		return nil
	})
	for at := 0; at < n && err == nil; at += 5000 {
		err = db.Update(func(tx *bolt.Tx) error {
			t := buckets(tx)
			for i := at; i < min(n, at+5000); i++ {
				if err := t.write(i, b.users, false); err != nil {
					return err
				}
			}
			return nil
		})
	}
	b.group = newGroup(b.runGroup)
	return b, err
}

// Close closes the file.
func (b *Bolt) Close() error {
	close(b.group.wake)
	return b.db.Close()
}

// Get returns a session.
func (b *Bolt) Get(digest [32]byte) (s *Session, err error) {
	err = b.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket([]byte("sessions")).Get(digest[:])
		if v == nil {
			return errors.New("not found")
		}
		s = decodeSession(v)
		return nil
	})
	return s, err
}

// Write inserts the n-th session and its log row and counts the user's
// sessions, in one transaction.
func (b *Bolt) Write(n int) error {
	return b.db.Update(func(tx *bolt.Tx) error { return buckets(tx).write(n, b.users, true) })
}

// GroupWrite does the same, and shares a commit with other writers.
func (b *Bolt) GroupWrite(n int) error { return b.group.do(n) }

func (b *Bolt) runGroup(jobs []*job) {
	err := b.db.Update(func(tx *bolt.Tx) error {
		t := buckets(tx)
		for _, j := range jobs {
			if err := t.write(j.n, b.users, true); err != nil {
				return err
			}
		}
		return nil
	})
	for _, j := range jobs {
		j.done <- err
	}
}

// Page returns the 25 logs after the n-th, by time.
func (b *Bolt) Page(n int) (logs []*Log, err error) {
	after := NewLog(n, b.users)
	err = b.db.View(func(tx *bolt.Tx) error {
		rows := tx.Bucket([]byte("logs"))
		c := tx.Bucket([]byte("logs.created")).Cursor()
		for k, id := c.Seek(timeKey("", after.Created, after.ID+"\x00")); k != nil && len(logs) < 25; k, id = c.Next() {
			logs = append(logs, decodeLog(rows.Get(id)))
		}
		return nil
	})
	return logs, err
}

// Sweep deletes all sessions by their expiry, 500 at a time.
func (b *Bolt) Sweep() error {
	for left := true; left; {
		err := b.db.Update(func(tx *bolt.Tx) error {
			t := buckets(tx)
			var digests [][]byte
			c := t.byExpire.Cursor()
			for k, digest := c.First(); k != nil && len(digests) < 500; k, digest = c.Next() {
				digests = append(digests, append([]byte(nil), digest...))
			}
			left = len(digests) == 500
			for _, digest := range digests {
				s := decodeSession(t.sessions.Get(digest))
				if err := errors.Join(
					t.sessions.Delete(digest),
					t.byID.Delete([]byte(s.ID)),
					t.byUser.Delete(timeKey(s.UserID, s.Created, s.ID)),
					t.byExpire.Delete(timeKey("", s.Expire, s.ID)),
				); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ReadAll reads every session and every log.
func (b *Bolt) ReadAll() (rows int, err error) {
	err = b.db.View(func(tx *bolt.Tx) error {
		if err := tx.Bucket([]byte("sessions")).ForEach(func(_, v []byte) error {
			rows++
			_ = decodeSession(v)
			return nil
		}); err != nil {
			return err
		}
		return tx.Bucket([]byte("logs")).ForEach(func(_, v []byte) error {
			rows++
			_ = decodeLog(v)
			return nil
		})
	})
	return rows, err
}

type boltTables struct {
	sessions, byID, byUser, byExpire, users, logs, logUser, logCreated *bolt.Bucket
}

func buckets(tx *bolt.Tx) boltTables {
	at := func(i int) *bolt.Bucket { return tx.Bucket([]byte(boltBuckets[i])) }
	return boltTables{at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)}
}

func timeKey(prefix string, at time.Time, suffix string) []byte {
	k := make([]byte, 0, len(prefix)+8+len(suffix))
	k = append(k, prefix...)
	k = binary.BigEndian.AppendUint64(k, uint64(at.UnixMicro()))
	return append(k, suffix...)
}

func (t boltTables) write(n, users int, count bool) error {
	s := NewSession(n, users)
	if t.users.Get([]byte(s.UserID)) == nil || t.sessions.Get([]byte(s.Digest)) != nil || t.byID.Get([]byte(s.ID)) != nil {
		return errors.New("refused")
	}
	l := NewLog(n, users)
	if t.logs.Get([]byte(l.ID)) != nil {
		return errors.New("refused")
	}
	for _, err := range []error{
		t.sessions.Put([]byte(s.Digest), encodeSession(s)),
		t.byID.Put([]byte(s.ID), []byte(s.Digest)),
		t.byUser.Put(timeKey(s.UserID, s.Created, s.ID), []byte(s.Digest)),
		t.byExpire.Put(timeKey("", s.Expire, s.ID), []byte(s.Digest)),
		t.logs.Put([]byte(l.ID), encodeLog(l)),
		t.logUser.Put(timeKey(l.UserKey, l.Created, l.ID), []byte(l.ID)),
		t.logCreated.Put(timeKey("", l.Created, l.ID), []byte(l.ID)),
	} {
		if err != nil {
			return err
		}
	}
	if !count {
		return nil
	}
	c := t.byUser.Cursor()
	found := 0
	for k, _ := c.Seek([]byte(s.UserID)); len(k) >= len(s.UserID) && string(k[:len(s.UserID)]) == s.UserID; k, _ = c.Next() {
		found++
	}
	if found == 0 {
		return errors.New("no session")
	}
	return nil
}

// encodeSession writes times in eight bytes, flags in one byte, and length-prefixed
// texts.
func encodeSession(s *Session) []byte {
	b := make([]byte, 0, 512)
	b = append(b, 1)
	for _, t := range []time.Time{s.Created, s.Updated, s.Expire, s.Challenged, s.Touched, s.Owing, s.Strong, s.Confirmed} {
		b = binary.LittleEndian.AppendUint64(b, uint64(t.UnixMicro()))
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(s.UserPasswordEpoch))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.PasswordEpoch))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Length))
	flags := byte(0)
	for i, set := range []bool{s.UserBlocked, s.UserMustReset, s.UserMFA, s.Challenged.IsZero(), s.Owing.IsZero(), s.Strong.IsZero(), s.Targets, s.Confirmed.IsZero()} {
		if set {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	for _, text := range []string{s.ID, s.UserID, s.Digest, s.Provider, s.ProviderUID, s.Factors, s.IP, s.Client, s.UserFactors, s.Assumed, s.Identity} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return b
}

func decodeSession(b []byte) *Session {
	all := string(b)
	at := 1
	number := func() int64 {
		at += 8
		return int64(binary.LittleEndian.Uint64(b[at-8:]))
	}
	when := func() time.Time { return time.UnixMicro(number()).UTC() }
	text := func() string {
		n, size := binary.Uvarint(b[at:])
		at += size + int(n)
		return all[at-int(n) : at]
	}
	s := new(Session)
	s.Created, s.Updated, s.Expire, s.Challenged, s.Touched = when(), when(), when(), when(), when()
	s.Owing, s.Strong, s.Confirmed = when(), when(), when()
	s.UserPasswordEpoch, s.PasswordEpoch, s.Length = number(), number(), number()
	flags := b[at]
	at++
	s.UserBlocked, s.UserMustReset, s.UserMFA = flags&1 != 0, flags&2 != 0, flags&4 != 0
	if flags&8 != 0 {
		s.Challenged = time.Time{}
	}
	if flags&16 != 0 {
		s.Owing = time.Time{}
	}
	if flags&32 != 0 {
		s.Strong = time.Time{}
	}
	if flags&128 != 0 {
		s.Confirmed = time.Time{}
	}
	s.Targets = flags&64 != 0
	s.ID, s.UserID, s.Digest = text(), text(), text()
	s.Provider, s.ProviderUID, s.Factors, s.IP, s.Client, s.UserFactors, s.Assumed, s.Identity = text(), text(), text(), text(), text(), text(), text(), text()
	return s
}

func encodeLog(l *Log) []byte {
	b := make([]byte, 0, 256)
	b = binary.LittleEndian.AppendUint64(b, uint64(l.Created.UnixMicro()))
	b = binary.LittleEndian.AppendUint64(b, uint64(l.Count))
	for _, text := range []string{l.ID, l.UserKey, l.Event, l.Resource, l.Actor, l.Mode, l.IP, l.Agent, l.Reason} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	stranger := byte(0)
	if l.Stranger {
		stranger = 1
	}
	return append(b, stranger)
}

func decodeLog(b []byte) *Log {
	all := string(b)
	at := 16
	text := func() string {
		n, size := binary.Uvarint(b[at:])
		at += size + int(n)
		return all[at-int(n) : at]
	}
	l := &Log{Created: time.UnixMicro(int64(binary.LittleEndian.Uint64(b))).UTC(), Count: int64(binary.LittleEndian.Uint64(b[8:]))}
	l.ID, l.UserKey, l.Event, l.Resource = text(), text(), text(), text()
	l.Actor, l.Mode, l.IP, l.Agent, l.Reason = text(), text(), text(), text(), text()
	l.Stranger = b[at] != 0
	return l
}
