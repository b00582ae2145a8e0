package transfer_test

import (
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/transfer"
)

// The columns are those of the table wp_users, and of the plugin that the package comment names.
// The forms of the hashes are those of "wp_check_password()",
// https://developer.wordpress.org/reference/functions/wp_check_password/.
func TestWordPress(t *testing.T) {
	sameUsers(t, read(fixture(t, "wordpress.csv"), transfer.WordPress, transfer.Options{}), []*latchkey.PortableUser{
		{ID: "1", Email: "ada@example.org", Name: "Ada Example", CreatedAt: at(t, "2023-01-01T10:00:00Z")},
		{ID: "2", Email: "grace@example.org", Name: "Example, Grace", Blocked: true},
		{ID: "3", Email: "lin@example.org", Name: "Lin", CreatedAt: at(t, "2009-05-01T08:00:00Z")},
	}, "1", "2", "3")
	sameUsers(t, read(fixture(t, "wordpress-plugin.csv"), transfer.WordPress, transfer.Options{}), []*latchkey.PortableUser{
		{ID: "4", Email: "hedy@example.org", Name: "=Hedy", CreatedAt: at(t, "2023-01-01T10:00:00Z")},
	}, "4")
}

// A plugin puts an apostrophe before what a spreadsheet would compute. Others are of the name.
func TestWordPressNamesKeepTheirApostrophes(t *testing.T) {
	text := "ID,user_email,user_pass,display_name\n1,,,'t Hooft\n2,,,'=1\n3,,,'\n"
	sameUsers(t, read(text, transfer.WordPress, transfer.Options{WithoutPassword: true}), []*latchkey.PortableUser{
		{ID: "1", Name: "'t Hooft"}, {ID: "2", Name: "=1"}, {ID: "3", Name: "'"},
	})
}

func TestWordPressRefuses(t *testing.T) {
	const head = "ID,user_email,user_pass,user_registered,display_name,spam,deleted\n"
	const md5 = "575bbfeef07ce3c765c1c1d7b831d28d"
	const lacks = "transfer: the file does not have this format: its header lacks the column "
	refuses(t, transfer.WordPress, transfer.Options{}, []broken{
		{"empty", "", notBegun},
		{"no id column", "user_email,user_pass\n", lacks + "ID or source_user_id"},
		{"no hash column", "ID,user_email,password\n", lacks + "user_pass"},
		{"no id", head + ",ada@example.org," + md5 + ",,,,\n", "line 2: it has no id"},
		{"plain text", head + "1,ada@example.org,secret,,,,\n", "line 2: its password: not a password hash within the bounds: WordPress has no such hash"},
		{"no hash", head + "1,ada@example.org,,,,,\n", "line 2: its password: not a password hash within the bounds: WordPress has no such hash"},
		{"too long a password", head + "1,ada@example.org,*,,,,\n", "line 2: its password: not a password hash within the bounds: WordPress has no such hash"},
		{"time", head + "1,ada@example.org," + md5 + ",2023,,,\n", "line 2: its column user_registered has another form"},
		{"spam", head + "1,ada@example.org," + md5 + ",,,x,\n", "line 2: its column spam has another form"},
		{"deleted", head + "1,ada@example.org," + md5 + ",,,,1\n", "line 2: it has been deleted"},
		{"name over two lines", head + "1,ada@example.org," + md5 + ",,\"a\nb\",,\n1\n", "line 2: its name is not a name: at most 128 characters, no control characters\nline 4: it has 1 columns, and the header has 7"},
	})
}

func FuzzWordPress(f *testing.F) {
	fuzz(f, transfer.WordPress, transfer.Options{}, "wordpress.csv", "wordpress-plugin.csv")
}
