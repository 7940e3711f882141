# An echo server by Godot's WebSocketServer; what it sees of the end of each connection goes to stdout. It closes when told "close".
extends SceneTree

var server = WebSocketServer.new()

func _init():
	server.set_buffers(2048, 64, 2048, 64)
	server.connect("data_received", self, "_received")
	server.connect("client_close_request", self, "_close_asked")
	server.connect("client_disconnected", self, "_gone")
	var port = int(OS.get_environment("PORT"))
	if server.listen(port, PoolStringArray(["chat"])) != OK:
		print("cannot listen")
		quit()
	else:
		print("listening on ws://127.0.0.1:", port)

func _received(id):
	var peer = server.get_peer(id)
	while peer.get_available_packet_count() > 0:
		var packet = peer.get_packet()
		if packet.get_string_from_utf8() == "close":
			server.disconnect_peer(id, 4006, "the server's reason")
			return
		peer.set_write_mode(WebSocketPeer.WRITE_MODE_TEXT if peer.was_string_packet() else WebSocketPeer.WRITE_MODE_BINARY)
		peer.put_packet(packet)

func _close_asked(_id, code, reason):
	print("closed ", code, " ", reason)

func _gone(_id, clean):
	print("gone ", "clean" if clean else "unclean")

func _idle(_delta):
	server.poll()
	return false
