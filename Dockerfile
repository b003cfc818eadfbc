FROM python:3.13-slim AS build
RUN python -m venv /venv
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN /venv/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.13-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --no-create-home --uid 10001 twit
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
RUN python -m compileall -q .
USER 10001
EXPOSE 8000
CMD ["python", "-m", "twit.web", "--host", "0.0.0.0", "--workers", "2"]
