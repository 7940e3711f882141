MESSAGES = 1000
def server_cases(): return []
def client_cases(): return []
