// serve.go NAME PORT [ADDRESS]...: a daemon as they are written, which listens with whatever Go takes by default, for connections
// and for datagrams. It answers with both ends, as Go tells them.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
)

type end struct {
	Address string `json:"address"`
	Port    int    `json:"port"`
}

type answer struct {
	Tag   string `json:"tag"`
	Peer  end    `json:"peer"`
	Local end    `json:"local"`
}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func describe(peer, local net.Addr) []byte {
	name := func(address net.Addr) end {
		switch known := address.(type) {
		case *net.TCPAddr:
			return end{known.IP.String(), known.Port}
		case *net.UDPAddr:
			return end{known.IP.String(), known.Port}
		}
		return end{address.String(), 0}
	}
	line, err := json.Marshal(answer{os.Args[1], name(peer), name(local)})
	must(err)
	return append(line, '\n')
}

func connections(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		must(err)
		connection.Write(describe(connection.RemoteAddr(), connection.LocalAddr()))
		connection.Close()
	}
}

func datagrams(socket net.PacketConn) {
	buffer := make([]byte, 2048)
	for {
		_, peer, err := socket.ReadFrom(buffer)
		must(err)
		socket.WriteTo(describe(peer, socket.LocalAddr()), peer)
	}
}

func main() {
	addresses := os.Args[3:]
	if len(addresses) == 0 {
		addresses = []string{""}
	}
	for _, address := range addresses {
		place := net.JoinHostPort(address, os.Args[2])
		listener, err := net.Listen("tcp", place)
		must(err)
		socket, err := net.ListenPacket("udp", place)
		must(err)
		go connections(listener)
		go datagrams(socket)
	}
	fmt.Println("listening")
	select {}
}
