# The web page: docs/deployment.md. The build takes the tested versions of constraints.txt.
FROM python:3.11-slim-bookworm

# OpenCV's wheels need these two; the slim image lacks them.
RUN apt-get update \
    && apt-get install --no-install-recommends -y libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.txt requirements-app.txt constraints.txt ./
# LiteRT runs the int8 model, which is the default where it is installed.
RUN pip install --no-cache-dir -c constraints.txt -r requirements-app.txt ai-edge-litert prometheus-client

COPY app.py ./
COPY fer fer
COPY models models

# A checkout may be readable for its owner alone.
RUN chmod -R a+rX /app && useradd --system --no-create-home fer
USER fer
ENV PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib
EXPOSE 7860
HEALTHCHECK --start-period=60s CMD ["python", "-c", "from urllib.request import *; build_opener(ProxyHandler({})).open('http://127.0.0.1:7860/health', timeout=5)"]
ENTRYPOINT ["python", "app.py", "--host", "0.0.0.0"]
