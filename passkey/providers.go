package passkey

import "encoding/hex"

// Provider returns the program or the model of an AAGUID, "" if it is not known.
func (p *RelyingParty) Provider(aaguid []byte) string { return providers[hex.EncodeToString(aaguid)] }

// providers names those that keep most passkeys. The ids and the names are facts from the list aaguid.json of
// github.com/passkeydeveloper/passkey-authenticator-aaguids (as of 2026-08-07), which states no licence. Nothing but the display
// depends on them.
var providers = map[string]string{
	"ea9b8d664d011d213ce4b6b48cb575d4": "Google Password Manager",
	"adce000235bcc60a648b0b25f1f05503": "Chrome on Mac",
	"08987058cadc4b81b6e130de50dcbe96": "Windows Hello",
	"9ddd1817af5a4672a2b93e3dd95000a9": "Windows Hello",
	"6028b017b1d44c02b4b3afcdafc96bb2": "Windows Hello",
	"dd4ec289e01d41c9bb8970fa845d4bf2": "iCloud Keychain (Managed)",
	"531126d6e717415c93203d9aa6981239": "Dashlane",
	"bada5566a7aa401fbd9645619a55120d": "1Password",
	"b84e404815dc4dd08640f4f60813c8af": "NordPass",
	"0ea242b443c44a1b8b17dd6d0b6baec6": "Keeper",
	"f38095407f1449c1a8b38f813b225541": "Enpass",
	"b53976664885aa6bcebfe52262a439a2": "Chromium Browser",
	"771b48fdd3d44f749232fc157ab0507a": "Edge on Mac",
	"d548826e79b4db40a3d811116f7e8349": "Bitwarden",
	"fbfc3007154e4ecc8c0b6e020557d7bd": "Apple Passwords",
	"53414d53554e47000000000000000000": "Samsung Pass",
	"50726f746f6e5061737350726f746f6e": "Proton Pass",
	"fdb141b25d84443e8a354698c205a502": "KeePassXC",
	"eaecdef21c3156348639f1cbd9c00a08": "KeePassDX",
	"b35a26b28f6e4697ab1dd44db4da28c6": "Zoho Vault",
	"b78a0a556ef8d246a042ba0f6d55050c": "LastPass",
	"de503f9c21a44f76b4b7558eb55c6f89": "Devolutions",
	"a10c6dd9465e42268198c7c44b91c555": "Kaspersky Password Manager",
	"d345266801fd4c12926c83a4204853aa": "Microsoft Password Manager",
	"d9be9d39e6a64c28a58132b044d986e4": "Sticky Password Manager",
	"fa37f553f9b64adbac538bbb57ebdf0d": "Norton Password Manager",
	"a4a2d88e979643569164e2a5a8bd019c": "Avast Password Manager",
}
