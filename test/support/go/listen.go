// listen.go ADDRESS [TAG]: a daemon as they are written, which listens with whatever Go takes by default.
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("listening")
	tag := "go"
	if len(os.Args) > 2 {
		tag = os.Args[2]
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Fprintln(connection, tag)
		connection.Close()
	}
}
