"""What the service promises over HTTP, as an OpenAPI 3.1 document: the routes, their answers, and each refusal.

`operations` has a row for each route, `refusals` one for each code, `schemas` the shapes, and `document` makes one text
of them. Tests hold them to the application in both directions, and each answer that any test of the service gets to the
row of its route.
"""
