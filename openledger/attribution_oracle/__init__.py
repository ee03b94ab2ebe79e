"""The only room with torch: data, model, training, influence, verification, the worker process, serving."""
