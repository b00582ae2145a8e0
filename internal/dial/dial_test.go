package dial

import (
	"net/netip"
	"testing"
)

// AC-075: an address of the host's own network is not one of the internet, in any notation.
func TestAC075IsPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "93.184.215.14": true, "100.63.255.255": true, "100.128.0.1": true, "172.15.255.255": true, "172.32.0.1": true, "169.253.0.1": true, "198.17.255.255": true, "198.20.0.1": true, "223.255.255.255": true,
		"2606:4700::1111": true, "2a00:1450::1": true, "2001:4860::8888": true, "2620:fe::fe": true,
		"::ffff:8.8.8.8": true, "64:ff9b::808:808": true, "2002:808:808::1": true, "2001:0:808:808:0:0:f7f7:f7f7": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "10.255.255.255": false, "100.64.0.1": false, "100.127.255.255": false, "127.0.0.1": false, "127.255.255.255": false, "169.254.169.254": false, "100.100.100.200": false, "168.63.129.16": false, "168.63.129.17": true,
		"172.16.0.1": false, "172.31.255.255": false, "192.0.0.1": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.0.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false,
		"224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,

		"::": false, "::1": false, "fe80::1": false, "fe80::1%lo": false, "febf::1": false, "fec0::1": false, "fc00::1": false, "fd00::1": false, "fd00:ec2::254": false, "fd20:ce::254": false, "ff02::1": false, "ff0e::1": false,
		"100::1": false, "100:0:0:1::1": false, "2001:2::1": false, "2001:10::1": false, "2001:db8::1": false, "3fff::1": false, "5f00::1": false, "64:ff9b:1::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:0.0.0.0": false, "::127.0.0.1": false, "::10.0.0.1": false, "::ffff:0:127.0.0.1": false, "::ffff:0:10.0.0.1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::": false, "64:ff9b:1::7f00:1": false, "2002:7f00:1::": false, "2002:a00:1::1": false, "2002:a9fe:a9fe::": false, "2002:c0a8:1::": false,
		"2001:0:808:808:0:0:80ff:fffe": false, "2001:0:808:808:0:0:f5ff:fffe": false,
		"2606:4700::5efe:10.0.0.1": false, "2606:4700::200:5efe:127.0.0.1": false, "2606:4700::200:5efe:8.8.8.8": true, "fe80::5efe:8.8.8.8": false,
		"2001:20::1": false, "200::1": false, "4000::1": false,
	} {
		if got := IsPublic(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if IsPublic(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// Public checks the address of the connection, which has a port.
func TestOnlyPublicAddressesAreDialled(t *testing.T) {
	for address, want := range map[string]error{
		"8.8.8.8:443": nil, "[2606:4700::1111]:443": nil,
		"127.0.0.1:443": ErrNotPublic, "[::1]:443": ErrNotPublic, "[::ffff:10.0.0.1]:443": ErrNotPublic, "[fe80::1%eth0]:443": ErrNotPublic,
		"": ErrNotPublic, "8.8.8.8": ErrNotPublic, "example.org:443": ErrNotPublic, "/run/socket": ErrNotPublic,
	} {
		if err := Public(t.Context(), "tcp", address, nil); err != want {
			t.Errorf("%q: %v", address, err)
		}
	}
}
